/** What one of several threads that serve a connection has in place of all of it. */
import type { DeviceTransport } from '../protocol/device.ts';

/** What is beside the ring: the device, or in one of several threads what stands for it. */
export type Beside = Pick<
  DeviceTransport,
  'start' | 'beside' | 'look' | 'answer' | 'release' | 'park' | 'resume' | 'resize' | 'duplicate' | 'watch' | 'close'
>;
/** What one of several threads has of a ring. */
export interface Share {
  readonly queues: readonly number[];
  readonly beside: Beside;
}
