/**
 * What stands in a thread with a ring where the device would be: the mounting thread reads that, and sends what comes there
 * as messages. So no request is ever in its hands; unless the kernel takes the ring back, then it is all that the thread reads from.
 */
import { duplicate } from '../abi/syscall.ts';
import type { DeviceTransport } from '../protocol/device.ts';
import type { Slot } from '../protocol/slot.ts';
import type { Beside } from '../uring/transport-share.ts';

const nothing = (): undefined => undefined;

export class Post implements Beside {
  readonly #fd: number;
  #device: DeviceTransport | undefined;
  readonly #look: () => void;
  readonly start: () => void = nothing;
  readonly beside: () => void = nothing;
  readonly watch: Beside['watch'] = () => nothing; // the ring does

  /** `look` has the mounting thread look how the connection ended. */
  constructor(fd: number, look: () => void) {
    this.#fd = fd;
    this.#look = look;
  }

  /** Requests come over this from now on. */
  become(device: DeviceTransport): void {
    this.#device = device;
    device.start();
  }

  look(): void {
    if (this.#device === undefined) this.#look();
    else this.#device.look();
  }
  answer(slot: Slot, answer: number): void {
    this.#device?.answer(slot, answer);
  }
  release(slot: Slot): void {
    this.#device?.release(slot);
  }
  park(slot: Slot, whole: boolean): undefined {
    return this.#device?.park(slot, whole);
  }
  resume(): void {
    this.#device?.resume();
  }
  resize(sizes: { request: number; reply: number }): void {
    this.#device?.resize(sizes);
  }
  close(): void {
    this.#device?.close();
  }
  duplicate(): number {
    return duplicate(this.#fd);
  }
}
