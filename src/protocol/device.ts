/**
 * The transport over read and write on /dev/fuse (or a socket in its place), on Node's event loop. One
 * read brings one request, one write takes one reply.
 *
 * A readable descriptor starts the pump, which serves at most 128 requests a turn of the loop: read until
 * EAGAIN instead, four clients starved timers for 362 ms; with 128 the worst gap is 1.8 ms at the same
 * throughput. Before it goes back to sleep it reads a few times more: a client with one request after
 * another then finds the server awake (1.6 to 2.6 times the round trips, docs/performance.md). The
 * budget halves on a miss and comes back on a hit or after 32 wakes, so that idle and paced loads cost nothing.
 */
import {
  EAGAIN,
  ECONNABORTED,
  ECONNRESET,
  EINTR,
  EIO,
  EMSGSIZE,
  ENODEV,
  ENOENT,
  ENOTCONN,
  EPIPE,
  SystemError,
} from '../abi/errno.ts';
import { fuse_in_header, fuse_out_header } from '../abi/fuse.ts';
import { FUSE_MIN_READ_BUFFER } from '../abi/fuse-constants.ts';
import { Memory } from '../abi/memory.ts';
import { F_GETFL, F_SETFL, O_NONBLOCK } from '../abi/posix.ts';
import { close, duplicate, fcntl, pageSize, read, type Watch, watch, write } from '../abi/syscall.ts';
import { answersNothing } from './dispatch.ts';
import type { Session } from './session.ts';
import { type Buffers, Slot } from './slot.ts';
import type { End, Transport } from './transport.ts';

/** Requests served in one turn of the loop. */
const TURN = 128;
/** Empty reads after work before the pump sleeps: about 20 us, which is what it costs to sleep and to be woken. */
const SPIN = 64;
/** Wakes after which a spent budget, or patience, is tried again. */
const RETRY = 32;
/** Idle buffers whose pages are kept; those of further ones go back to the system. */
const WARM = 16;
/** How long what comes beside the requests gathers, in ms. */
const GATHERING = 5;
/** Bytes of a request, and of a reply, that wait in a small buffer. */
const SMALL = 8192;
/** Idle small buffers that are kept. */
const SMALL_KEPT = 256;
const HEAD = fuse_in_header.size;
const REPLY_HEAD = fuse_out_header.size;

class DeviceBuffers implements Buffers {
  readonly memory: Memory;
  readonly view: DataView;
  readonly bytes: Buffer;
  readonly out: DataView;
  readonly body: Buffer;
  readonly words: Uint32Array;
  readonly outWords: Int32Array;
  readonly requestAddress: number;
  readonly replyAddress: number;
  readonly requestSize: number;
  /** Made for a request that waits, not to read into. */
  readonly small: boolean;
  constructor(request: number, reply: number, small = false) {
    this.small = small;
    // The reply's header ends a page, so that the body begins one.
    const outAt = Math.ceil(request / pageSize) * pageSize + pageSize - REPLY_HEAD;
    this.memory = new Memory(outAt + REPLY_HEAD + reply);
    const { buffer, address } = this.memory;
    this.view = new DataView(buffer, 0, request);
    this.bytes = Buffer.from(buffer, 0, request);
    this.out = new DataView(buffer, outAt, REPLY_HEAD + reply);
    this.body = Buffer.from(buffer, outAt + REPLY_HEAD, reply);
    this.words = new Uint32Array(buffer, 0, HEAD / 4);
    this.outWords = new Int32Array(buffer, outAt, REPLY_HEAD / 4);
    this.requestAddress = address;
    this.replyAddress = address + outAt;
    this.requestSize = request;
  }
}

export class DeviceTransport implements Transport {
  readonly #fd: number;
  readonly #session: Session;
  #watch: Watch | undefined;
  /** On descriptors of the filesystem's. */
  readonly #others = new Set<Watch>();
  #sizes = { request: FUSE_MIN_READ_BUFFER, reply: FUSE_MIN_READ_BUFFER };
  #free: Slot[] = [];
  #large: DeviceBuffers[] = [];
  #small: DeviceBuffers[] = [];
  /** Replies that a full socket did not take; /dev/fuse takes all. While there are any, nothing is read. */
  readonly #unsent: { readonly slot: Slot; readonly answer: number; release: boolean }[] = [];
  #turn = 0;
  #draining = false;
  /** Slots that the session holds. */
  #held = 0;
  /** The pump left off for a handler that may be done as soon as the microtasks have run. */
  #paused = false;
  /** Whether it does: when one was not done by the next turn of the loop, not for some wakes. */
  #patient = true;
  #spin = SPIN;
  #budget = SPIN;
  #wakes = 0;
  #gathering = false;
  #gather: NodeJS.Timeout | undefined;
  #resting = false;
  #closed = false;
  #warned = false;

  /** Takes the descriptor over: it is closed when the connection ends. */
  constructor(fd: number, session: Session) {
    this.#fd = fd;
    this.#session = session;
    session.attach(this);
  }

  start(): void {
    this.#resting = false;
    fcntl(this.#fd, F_SETFL, fcntl(this.#fd, F_GETFL, 0) | O_NONBLOCK);
    // The watch holds its callback, that the transport, and that the watch: nobody else has to hold any of them.
    this.#watch = watch(this.#fd, { readable: true }, this.#readable);
  }

  readonly #readable = (): void => {
    this.#turn = 0;
    if (this.#gathering) return this.#gathered();
    if (this.#paused) this.#patient = false;
    if ((this.#budget < this.#spin || !this.#patient) && ++this.#wakes >= RETRY) {
      this.#wakes = 0;
      this.#budget = this.#spin;
      this.#patient = true;
    }
    this.#drain();
  };

  /** Requests come another way: what still comes here is not worth looking out for. */
  beside(): void {
    this.#spin = 0;
    this.#budget = 0;
  }

  /**
   * Nor is it urgent: FORGET, for which nobody waits, and INTERRUPT. After one has been read the next are left to the kernel for 5 ms, which then gives FORGETs many
   * at a time; to be woken for each cost a fifth of what a file that is made and removed did.
   */
  gathering(): void {
    this.#gathering = true;
  }
  readonly #gathered = (): void => {
    this.#turn = 0;
    this.#drain();
    if (this.#closed) return;
    if (this.#turn === 0) {
      if (this.#watch === undefined) this.#await('readable');
      return;
    }
    this.#watch?.close();
    this.#watch = undefined;
    this.#gather = setTimeout(this.#gathered, this.#turn < TURN ? GATHERING : 0);
  };

  /** Leaves the requests to others that read from the connection. */
  rest(): void {
    this.#resting = true;
    this.#watch?.close();
    this.#watch = undefined;
    this.#unwatchOthers();
  }

  watch(fd: number, ready: () => void): () => void {
    const other = watch(fd, { readable: true }, ready);
    this.#others.add(other);
    return () => {
      if (this.#others.delete(other)) other.close();
    };
  }
  #unwatchOthers(): void {
    for (const other of this.#others) other.close();
    this.#others.clear();
  }

  /** Reads what there is: also how it learns, before the loop would tell, that the connection is over. */
  look(): void {
    this.#drain();
  }

  /** Waits for the other event instead: a descriptor takes one watch, and to be told of requests that are not read would spin. */
  #await(event: 'readable' | 'writable'): void {
    this.#watch?.close();
    this.#watch = watch(this.#fd, { [event]: true }, event === 'readable' ? this.#readable : this.#writable);
  }

  /** Serves what there is, within the bound of the turn. Never throws: koffi would end the watch without a word. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#paused = false;
    try {
      this.#pump();
    } catch (error) {
      this.#session.end({ reason: 'failed', error });
    } finally {
      this.#draining = false;
    }
  }

  #pump(): void {
    let spins = 0;
    while (!this.#closed && !this.#resting && this.#turn < TURN && this.#unsent.length === 0) {
      const slot = this.#free.pop() ?? this.#slot();
      const buffers = slot.buffers as DeviceBuffers;
      const n = read(this.#fd, buffers.requestAddress, buffers.requestSize);
      if (n > 0) {
        const held = this.#held++;
        if (spins > 0) {
          spins = 0;
          this.#budget = this.#spin;
        }
        this.#turn++;
        // What a read gives is a whole message; one that says otherwise is not from a kernel.
        if (n < HEAD || buffers.words[0] !== n) {
          slot.end = n;
          this.#refuse(slot);
          continue;
        }
        slot.end = n;
        this.#session.serve(slot);
        // A promise that is there at once is answered before the next read, as a plain value is: resume() goes on. To read
        // what there is and then answer it all, clients and server take turns where they could work at the same time
        // (four clients: 0.78 of the speed of plain values, so 0.86).
        if (this.#held > held && this.#patient) {
          this.#paused = true;
          return;
        }
        continue;
      }
      this.#free.push(slot);
      if (n === -EAGAIN.errno) {
        if (this.#turn > 0 && !this.#session.waiting) {
          if (spins < this.#budget) {
            spins++;
            continue;
          }
          if (spins > 0) this.#budget >>= 1;
        }
        return;
      }
      // ENOENT: the request was withdrawn while it was read.
      if (n === -EINTR.errno || n === -ENOENT.errno) continue;
      this.#session.end(endOf(n));
      return;
    }
  }

  /** A message whose length is not what it says: EIO, as for every malformed one; without a whole header there is nobody to tell. */
  #refuse(slot: Slot): void {
    if (!this.#warned) this.#session.warn(`a message that says ${slot.request.len} bytes came with ${slot.end}`);
    this.#warned = true;
    if (slot.end >= HEAD && !answersNothing(slot.request.opcode)) this.answer(slot, -EIO.errno);
    this.release(slot);
  }

  #slot(): Slot {
    return new Slot(
      this.#large.pop() ?? new DeviceBuffers(this.#sizes.request, this.#sizes.reply),
      HEAD,
      HEAD,
      1,
      REPLY_HEAD,
    );
  }

  #head({ words, outWords }: DeviceBuffers, answer: number): number {
    const length = answer < 0 ? REPLY_HEAD : REPLY_HEAD + answer;
    outWords[0] = length;
    outWords[1] = answer < 0 ? answer : 0;
    outWords[2] = words[2]!; // unique, all its bits, without a bigint
    outWords[3] = words[3]!;
    return length;
  }

  answer(slot: Slot, answer: number): void {
    if (this.#closed) return this.#session.refused(slot, answer);
    const buffers = slot.buffers as DeviceBuffers;
    const length = this.#head(buffers, answer);
    const n = write(this.#fd, buffers.replyAddress, length);
    if (n !== length) this.#unwritten(slot, answer, length, n);
  }

  #unwritten(slot: Slot, answer: number, length: number, n: number): void {
    if (n === -EAGAIN.errno) {
      if (this.#unsent.push({ slot, answer, release: false }) === 1) this.#await('writable');
      return;
    }
    // ENOENT: the kernel knows no such request any more. Others mean that we sent what it can't use.
    if (n !== -ENOENT.errno && !isEnd(n))
      this.#session.warn(
        `the kernel refused a reply of ${length} bytes: ${new SystemError(n < 0 ? -n : EMSGSIZE.errno, 'write').message}`,
      );
    this.#session.refused(slot, answer);
  }

  /** Sends what a full socket did not take. Never throws, like every watch. */
  readonly #writable = (): void => {
    try {
      while (this.#unsent.length > 0) {
        const { slot, answer, release } = this.#unsent[0]!;
        const buffers = slot.buffers as DeviceBuffers;
        const length = this.#head(buffers, answer);
        const n = write(this.#fd, buffers.replyAddress, length);
        if (n === -EAGAIN.errno) return;
        this.#unsent.shift();
        if (n !== length) this.#unwritten(slot, answer, length, n);
        if (release) this.release(slot);
        if (this.#closed) return;
      }
      this.#await('readable');
      this.#turn = 0;
      this.#drain();
    } catch (error) {
      this.#session.end({ reason: 'failed', error });
    }
  };

  release(slot: Slot): void {
    const unsent = this.#unsent.length > 0 ? this.#unsent.find((each) => each.slot === slot) : undefined;
    if (unsent) {
      unsent.release = true;
      return;
    }
    this.#held--;
    slot.request.reset();
    const buffers = slot.buffers as DeviceBuffers;
    if (!this.#closed) {
      if (buffers.small && this.#small.length < SMALL_KEPT) {
        this.#small.push(buffers);
        return;
      }
      if (buffers.requestSize === this.#sizes.request) {
        if (this.#free.length >= WARM) buffers.memory.clear();
        this.#free.push(slot);
        return;
      }
    }
    // Buffers of before INIT, small ones beyond need, and all of them after the end: unmapped when nobody sees them any more.
    buffers.memory.clear();
  }

  park(slot: Slot, whole: boolean): undefined {
    // A few may keep theirs: most promises are settled in a moment, and a move costs 0.4 us.
    if (whole || slot.end > SMALL || this.#held <= WARM) return undefined;
    const large = slot.buffers as DeviceBuffers;
    const small = this.#small.pop() ?? new DeviceBuffers(SMALL, SMALL, true);
    large.bytes.copy(small.bytes, 0, 0, slot.end);
    slot.use(small);
    if (large.requestSize === this.#sizes.request) this.#large.push(large);
    return undefined;
  }

  resume(): void {
    const paused = this.#paused;
    this.#paused = false;
    if (this.#turn < TURN && !this.#closed && (paused || !this.#session.waiting)) this.#drain();
  }

  resize(sizes: { request: number; reply: number }): void {
    this.#sizes = sizes;
    this.#free = [];
    this.#large = [];
  }

  duplicate(): number {
    return duplicate(this.#fd);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch?.close();
    clearTimeout(this.#gather);
    this.#unwatchOthers();
    try {
      close(this.#fd);
    } catch {
      // Closed by somebody else already, which is perhaps why we are here.
    }
    for (const { slot, answer, release } of this.#unsent.splice(0)) {
      this.#session.refused(slot, answer);
      if (release) this.release(slot);
    }
    // Not unmapped under a handler that kept a view: that happens when the last view of each is gone.
    const free = this.#free.map(({ buffers }) => buffers as DeviceBuffers);
    for (const { memory } of [...free, ...this.#large, ...this.#small]) memory.clear();
    this.#free = [];
    this.#large = [];
    this.#small = [];
  }
}

const isEnd = (n: number): boolean =>
  [ENODEV, ECONNABORTED, ECONNRESET, ENOTCONN, EPIPE].some(({ errno }) => n === -errno);

/** How the connection ended, from what read gave: 0 is the end of a socket. */
function endOf(n: number): End {
  if (n === 0 || n === -ENODEV.errno) return { reason: 'unmounted' };
  // ECONNRESET: the other end of a socket was closed before it had read all that we sent.
  if (n === -ECONNABORTED.errno || n === -ENOTCONN.errno || n === -ECONNRESET.errno) return { reason: 'aborted' };
  return { reason: 'failed', error: new SystemError(-n, 'read') };
}
