/**
 * The control file `/.mergerfs`, which is in no listing: options are its extended attributes, `user.mergerfs.NAME`, to be read and,
 * where they can be changed while it is served, written; commands are attributes to write.
 */
import { ENODATA, EROFS } from '../../abi/errno.ts';
import { Options } from './options.ts';

export const CONTROL_FILE = '.mergerfs';
const PREFIX = 'user.mergerfs.';
const COMMAND = 'user.mergerfs.cmd.';

export class Control {
  readonly #options: Options;
  /** What each command does. */
  readonly #commands: Readonly<Record<string, () => void>>;

  constructor(options: Options, commands: Readonly<Record<string, () => void>>) {
    this.#options = options;
    this.#commands = commands;
  }

  /** ENODATA. */
  get(attribute: string): string {
    const value = attribute.startsWith(PREFIX) ? this.#options.get(attribute.slice(PREFIX.length)) : undefined;
    if (value === undefined) throw ENODATA;
    return value;
  }
  /** ENODATA, EROFS, EINVAL. */
  set(attribute: string, value: string): void {
    if (attribute.startsWith(COMMAND)) {
      const command = this.#commands[attribute.slice(COMMAND.length)];
      if (command === undefined) throw ENODATA;
      return command();
    }
    if (!attribute.startsWith(PREFIX)) throw ENODATA;
    this.#options.change(attribute.slice(PREFIX.length), value);
  }
  /** Nothing of it can be taken away. */
  remove(): never {
    throw EROFS;
  }
  list(): Buffer {
    return Buffer.from(Options.names.map((name) => `${PREFIX}${name}\0`).join(''));
  }
}
