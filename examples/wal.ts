/**
 * A write-ahead log, on files whose writes are durable when they resolve: `npx tsx examples/wal.ts COMMAND DIRECTORY`.
 *
 *   append       each line of standard input as a record: says its position and the line, once it is durable
 *   list         the records, each with its position
 *   drop BEFORE  removes the segments of which all records lie before a position
 *
 * A position is how far into the log a record begins, in bytes, as if the log were one file. It is made of segments, each named
 * by the position of its first byte. A record is a head of 12 bytes, its length and a checksum, and a payload.
 *
 * Whoever opens the log reads all of it. What comes behind the last whole record of the last segment is what a crash has torn:
 * nobody was told that it is there, and it is cut off. Anywhere else that is damage, which is told and not cut off.
 */
import { createHash } from 'node:crypto';
import { open as openPath, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DurableFile, UringFiles } from 'rawfuse/uring';

const HEAD = 12;
/** A longer one is none. */
const MOST = 1 << 24;
/** A segment that has become so long gets a successor. */
const SEGMENT = Number(process.env.WAL_SEGMENT ?? 1 << 24);
/** Appends at once: they share an fsync. */
const AT_ONCE = 64;

/** The beginning of a hash: enough to see what a crash has torn. No run of zeros has the right one. */
const checksum = (payload: Uint8Array): Buffer =>
  createHash('sha1')
    .update(`${payload.length} `)
    .update(payload)
    .digest()
    .subarray(0, HEAD - 4);

function encode(payload: Uint8Array): Buffer {
  if (payload.length > MOST) throw new RangeError(`${payload.length} bytes are too many for a record`);
  const bytes = Buffer.allocUnsafeSlow(HEAD + payload.length);
  bytes.writeUInt32LE(payload.length, 0);
  bytes.set(checksum(payload), 4);
  bytes.set(payload, HEAD);
  return bytes;
}

/** The payload of the record that begins at an offset, if it is whole. */
function decode(bytes: Buffer, at: number): Buffer | undefined {
  if (at + HEAD > bytes.length) return undefined;
  const length = bytes.readUInt32LE(at);
  const payload = bytes.subarray(at + HEAD, at + HEAD + length);
  if (length > MOST || payload.length < length) return undefined;
  return checksum(payload).equals(bytes.subarray(at + 4, at + HEAD)) ? payload : undefined;
}

interface Segment {
  /** The position of its first byte. */
  readonly first: number;
  readonly file: DurableFile;
}
type Recovered = (position: number, payload: Buffer) => void;

class Wal implements AsyncDisposable {
  readonly #files: UringFiles;
  readonly #directory: string;
  /** Where the segments begin, in order. */
  #firsts: number[] = [];
  /** The last segment, once it is there to append to. Where it could not be had, nothing can be appended any more. */
  #last!: Promise<Segment>;

  private constructor(files: UringFiles, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** Opens a log in a directory that is there, and gives all that it holds to `recovered`. An Error where it is damaged. */
  static async open(files: UringFiles, directory: string, recovered: Recovered): Promise<Wal> {
    const wal = new Wal(files, directory);
    wal.#last = Promise.resolve(await wal.#recover(recovered));
    return wal;
  }

  async #recover(recovered: Recovered): Promise<Segment> {
    const names = (await readdir(this.#directory)).filter((name) => /^\d{16}\.wal$/u.test(name));
    this.#firsts = names.map((name) => Number.parseInt(name, 10)).sort((a, b) => a - b);
    let position = this.#firsts[0] ?? 0;
    for (const [i, first] of this.#firsts.entries()) {
      if (first !== position) throw new Error(`what lies from ${position} to ${first} is damaged, or missing`);
      // Opened so, what it holds is on the disk before anybody builds on it.
      const file = await DurableFile.open(this.#files, this.#path(first));
      const { buffer } = await file.file.readExactly(Buffer.allocUnsafeSlow(file.size), 0);
      for (let payload = decode(buffer, 0); payload; payload = decode(buffer, position - first)) {
        recovered(position, payload);
        position += HEAD + payload.length;
      }
      if (i === this.#firsts.length - 1) {
        if (position < first + file.size) await file.truncate(position - first);
        return { first, file };
      }
      await file.close();
    }
    return this.#begin(position);
  }

  #path(first: number): string {
    return join(this.#directory, `${String(first).padStart(16, '0')}.wal`);
  }

  /** Makes a segment. Its name is durable before it has a record. */
  async #begin(first: number): Promise<Segment> {
    const file = await DurableFile.open(this.#files, this.#path(first));
    this.#firsts.push(first);
    return { first, file };
  }

  /** The segment to append to: a new one where the last has become long enough, and all of that is durable. */
  async #roomy(segment: Segment): Promise<Segment> {
    const { first, file } = segment;
    if (file.size < SEGMENT) return segment;
    await file.close(); // when all that is under way in it is done
    if (file.poisoned) throw file.poisoned;
    return this.#begin(first + file.size);
  }

  /**
   * Appends a record: its position, once it is durable, with all before it. After an fsync that failed nothing more is
   * taken: open the log again, and see what it has.
   */
  async append(payload: Uint8Array): Promise<number> {
    const bytes = encode(payload);
    this.#last = this.#last.then((segment) => this.#roomy(segment));
    const { first, file } = await this.#last;
    return first + (await file.append(bytes));
  }

  /** Removes what lies before a position, segment by segment: what it leaves of it lies with what is kept. */
  async drop(before: number): Promise<number> {
    let dropped = 0;
    for (; this.#firsts.length > 1 && this.#firsts[1]! <= before; dropped++) {
      await unlink(this.#path(this.#firsts[0]!));
      await using directory = await openPath(this.#directory);
      await directory.sync(); // before the next one goes: a crash leaves no gap
      this.#firsts.shift();
    }
    return dropped;
  }

  async close(): Promise<void> {
    const { file } = await this.#last;
    await file.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function fail(message: string, status = 2): never {
  console.error(`wal: ${message}`);
  process.exit(status);
}

const [command, directory, before] = process.argv.slice(2);
if (!directory || !['append', 'list', 'drop'].includes(command!))
  fail('usage: wal append|list|drop DIRECTORY [BEFORE]');
if (command === 'drop' && !/^\d+$/u.test(before ?? '')) fail('usage: wal drop DIRECTORY BEFORE');

try {
  await using files = new UringFiles();
  const show = (position: number, payload: Buffer) => console.log(`${position} ${payload}`);
  await using wal = await Wal.open(files, directory, command === 'list' ? show : () => {});
  if (command === 'drop') console.log(`${await wal.drop(Number(before))} segments dropped`);
  if (command === 'append') {
    const appending = new Set<Promise<void>>();
    for await (const line of createInterface({ input: process.stdin })) {
      const appended = wal.append(Buffer.from(line)).then((position) => {
        appending.delete(appended);
        console.log(`${position} ${line}`);
      });
      appending.add(appended);
      if (appending.size >= AT_ONCE) await Promise.race(appending);
    }
    await Promise.all(appending);
  }
} catch (error) {
  fail((error as Error).message, 1);
}
