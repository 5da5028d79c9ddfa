/** What follows from a policy of caching: the flags of opens, promises, timeouts; and what can't be asked for together. */
import { expect, test } from 'vitest';
import {
  FOPEN_CACHE_DIR,
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FOPEN_PARALLEL_DIRECT_WRITES,
} from '../../src/abi/fuse-constants.ts';
import { O_APPEND, O_DIRECT, O_RDONLY, O_RDWR, O_WRONLY } from '../../src/abi/posix.ts';
import { CACHES, Caching, type CachingOptions, checkCaching } from '../../src/fs/caching.ts';

const DIRECT = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
const changed = () => false;
const same = () => true;
const unasked = () => {
  throw new Error('asked where it makes no difference');
};

test('each policy says what a file is opened with', () => {
  const flags = (cache: CachingOptions['cache'], ...[open, is]: Parameters<Caching['file']>) =>
    new Caching({ cache }).file(open, is);
  expect(flags('none', O_RDWR, unasked)).toBe(DIRECT);
  expect([flags('auto', O_RDWR, changed), flags('auto', O_RDWR, same)]).toEqual([0, FOPEN_KEEP_CACHE]);
  expect(flags('always', O_RDWR, unasked)).toBe(FOPEN_KEEP_CACHE);
  for (const cache of CACHES) expect(flags(cache, O_RDWR | O_DIRECT, unasked), cache).toBe(DIRECT);
});

test('each policy says what a directory is opened with', () => {
  const flags = (cache: CachingOptions['cache'], is: () => boolean) => new Caching({ cache }).directory(is);
  expect(flags('none', unasked)).toBe(0);
  expect([flags('auto', changed), flags('auto', same)]).toEqual([FOPEN_CACHE_DIR, FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE]);
  expect(flags('always', unasked)).toBe(FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE);
});

test('each policy says how long the kernel believes, and what is promised', () => {
  const of = (options: CachingOptions) => {
    const { timeouts, promises } = new Caching({ kernelPassthrough: false, ...options });
    return [timeouts, promises];
  };
  const [none, second, day] = [0, 1, 86_400];
  expect(of({ cache: 'none' })).toEqual([{ entry: none, attr: none, negative: none }, []]);
  expect(of({})).toEqual([{ entry: second, attr: second, negative: none }, ['CACHE_SYMLINKS']]);
  expect(of({ cache: 'always' })).toEqual([
    { entry: day, attr: day, negative: day },
    ['CACHE_SYMLINKS', 'EXPLICIT_INVAL_DATA'],
  ]);
  expect(of({ writeback: true })[1]).toContain('WRITEBACK_CACHE');
});

test('files are handed to the kernel unless that is off, or what is written is kept', () => {
  expect(CACHES.map((cache) => new Caching({ cache }).hands)).toEqual(['auto', 'auto', 'auto']);
  expect(new Caching({}).promises).toContain('PASSTHROUGH');
  for (const options of [
    { kernelPassthrough: false },
    { writeback: true },
    { writeback: true, kernelPassthrough: 'auto' },
  ] as const)
    expect([new Caching(options).hands, new Caching(options).promises.includes('PASSTHROUGH')]).toEqual([false, false]);
});

test('with writeback a file that is opened for writing is opened for reading, too', () => {
  const access = (writeback: boolean) => (flags: number) => new Caching({ writeback }).access(flags);
  expect([O_RDONLY, O_WRONLY | O_APPEND, O_RDWR].map(access(false))).toEqual([O_RDONLY, O_WRONLY, O_RDWR]);
  expect([O_RDONLY, O_WRONLY | O_APPEND, O_RDWR].map(access(true))).toEqual([O_RDONLY, O_RDWR, O_RDWR]);
});

test('what can’t be asked for together is refused in one line', () => {
  const refused: [CachingOptions, string][] = [
    [{ cache: 'some' as never }, 'cache is some: one of none, auto, always is needed'],
    [{ kernelPassthrough: 'on' as never }, 'kernelPassthrough is on: true, false or auto is needed'],
    [
      { writeback: true, kernelPassthrough: true },
      'writeback and kernelPassthrough exclude each other: the kernel has one or the other',
    ],
    [{ writeback: true, cache: 'none' }, 'writeback and cache none exclude each other: what is written is cached'],
  ];
  for (const [options, message] of refused) expect(() => checkCaching(options)).toThrow(new RangeError(message));
  for (const options of [{}, { writeback: true, cache: 'always' }, { cache: 'none', kernelPassthrough: true }] as const)
    expect(() => checkCaching(options)).not.toThrow();
});
