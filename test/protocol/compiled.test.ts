/**
 * The compiled dispatch against the plain loop of reference.ts: random messages of every operation, valid or
 * with one thing wrong, in the shape of either transport, with handlers that answer, promise, throw or are
 * absent. All four must give the same arguments, the same answer and the same bytes.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENOENT } from '../../src/abi/errno.ts';
import { type AnyStruct, type Field, i32, i53, u8, u16, u32, u53, u64 } from '../../src/abi/struct.ts';
import type { DirectoryReply, Dirent } from '../../src/protocol/dirent.ts';
import { serve } from '../../src/protocol/dispatch.ts';
import { DEFAULTS, type Operation, type OperationName, WITHOUT_DEFAULTS } from '../../src/protocol/operations.ts';
import type { Request } from '../../src/protocol/request.ts';
import { serveByTable } from './reference.ts';
import {
  bodyOf,
  encodeContexts,
  encodeGroups,
  encodeRequest,
  FakeServer,
  load,
  operationNames,
  rows,
  SHAPES,
  type Shape,
  seed,
} from './support.ts';

const RUNS = 200;
/** The largest body of a reply: small, so that results which do not fit are met. */
const ROOM = 600;

// Random values.

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const scalars = new Map<Field<unknown>, fc.Arbitrary<unknown>>([
  [u8, fc.integer({ min: 0, max: 0xff })],
  [u16, fc.integer({ min: 0, max: 0xffff })],
  [u32, word],
  [i32, fc.integer()],
  [u64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
  [u53, fc.maxSafeNat()],
  [i53, fc.maxSafeInteger()],
]);
const sizes = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 100 }), word);

/** Values of a struct. `omit`: a member that has a default may be missing. */
function values(of: AnyStruct, omit = false, special: Readonly<Record<string, fc.Arbitrary<unknown>>> = {}) {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  const required: string[] = [];
  for (const [name, field] of Object.entries(of.fields)) {
    if (!field.read) continue;
    members[name] = special[name] ?? ('fields' in field ? values(field as AnyStruct, omit) : scalars.get(field)!);
    if (!(omit && Object.hasOwn(DEFAULTS, name))) required.push(name);
  }
  return fc.record(members, { requiredKeys: required }) as fc.Arbitrary<Record<string, unknown>>;
}

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 12 }).map((text) => text.replaceAll('\0', 'x')),
  fc.constantFrom('é', '\udcff', 'a\udc80b', '.', '..', '€uro', '𝄞'),
);
const bytes = fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array));
const context = fc.record({ name: fc.constantFrom('security.selinux', 'security.a'), value: bytes });
const extensions = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  fc.array(context, { maxLength: 3 }).map(encodeContexts),
  fc.array(word, { maxLength: 5 }).map(encodeGroups),
  fc
    .tuple(fc.array(context, { maxLength: 2 }), fc.array(word, { maxLength: 2 }))
    .map(([contexts, groups]) => Buffer.concat([encodeContexts(contexts), encodeGroups(groups)])),
);

function argumentsOf(row: Operation): fc.Arbitrary<Record<string, unknown>> {
  const computed = [row.length, row.list?.count];
  const special = row.reply ? { size: sizes } : {};
  const fixed = row.in ? values(row.in, false, special) : fc.constant({});
  return fixed.chain((struct) =>
    fc
      .record({
        ...Object.fromEntries((row.names ?? []).map((member) => [member, name])),
        ...(row.data ? { [row.data]: bytes } : {}),
        ...(row.list ? { [row.list.name]: fc.array(values(row.list.of), { maxLength: 4 }) } : {}),
      })
      .map((rest) => {
        const args: Record<string, unknown> = { ...struct, ...rest };
        for (const member of computed) if (member) delete args[member];
        return args;
      }),
  );
}

const dirent: fc.Arbitrary<Dirent> = fc.record({
  name,
  ino: scalars.get(u64)! as fc.Arbitrary<bigint>,
  off: scalars.get(u64)! as fc.Arbitrary<bigint>,
  type: fc.integer({ min: 0, max: 15 }),
});
const found = values(rows.LOOKUP.out as AnyStruct, true);

/** What the handler does. */
interface Deed {
  readonly how: 'answers' | 'promises' | 'throws an errno' | 'throws a bug' | 'is absent';
  readonly result: unknown;
  readonly entries: readonly (readonly [Dirent, Record<string, unknown> | undefined])[];
}
function deedOf(row: Operation): fc.Arbitrary<Deed> {
  const { out } = row;
  const lenient = typeof out === 'object' && !WITHOUT_DEFAULTS.includes(out);
  // Sizes in an answer are at most what was asked for, or a bug: meet both.
  const answers = Object.fromEntries(Object.keys(row.limit ?? {}).map((member) => [member, sizes]));
  const struct = typeof out === 'object' ? values(out, lenient, answers) : fc.constant(undefined);
  const result =
    row.reply === 'bytes'
      ? fc.oneof(bytes, fc.integer({ min: -1, max: ROOM + 1 }))
      : out === 'bytes' && !row.reply
        ? fc.oneof(bytes, name)
        : row.tail
          ? fc
              .tuple(struct, fc.option(bytes))
              .map(([of, tail]) => (tail ? { ...(of as object), [row.tail!]: tail } : of))
          : struct;
  return fc.record({
    how: fc.constantFrom('answers', 'answers', 'promises', 'throws an errno', 'throws a bug', 'is absent'),
    result,
    entries: row.reply?.startsWith('entries')
      ? fc.array(fc.tuple(dirent, fc.option(found, { nil: undefined })), { maxLength: 8 })
      : fc.constant([]),
  });
}

/** Something wrong with a message, or nothing. */
type Wrong =
  | { readonly kind: 'none' }
  | { readonly kind: 'cut'; readonly by: number }
  | { readonly kind: 'wide'; readonly member: number; readonly value: bigint }
  | { readonly kind: 'byte'; readonly at: number; readonly value: number };
const wrong: fc.Arbitrary<Wrong> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ kind: 'none' } as const) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), by: fc.integer({ min: 1, max: 40 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('wide' as const),
      member: fc.nat(8),
      value: fc.constantFrom(2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('byte' as const),
      at: fc.nat(200),
      value: fc.integer({ min: 0, max: 255 }),
    }),
  },
);

function spoil(message: Buffer, row: Operation, what: Wrong): Buffer {
  if (what.kind === 'cut') return message.subarray(0, Math.max(40 + (row.in?.size ?? 0), message.length - what.by));
  if (what.kind === 'byte' && message.length > 40) message[40 + (what.at % (message.length - 40))] = what.value;
  if (what.kind === 'wide') {
    const wides = Object.entries(row.in?.fields ?? {}).filter(([, { size, read }]) => size === 8 && read);
    const [member] = wides[what.member % wides.length] ?? [];
    if (member !== undefined) message.writeBigUInt64LE(what.value, 40 + row.in!.offset[member]!);
  }
  return message;
}

// Playing one.

/** Everything that can be seen of one request being served. */
async function observe(by: typeof serveByTable, operation: OperationName, message: Buffer, deed: Deed, shape: Shape) {
  const row = rows[operation];
  let args: unknown;
  const handler = (request: Request, given: object, sink: DirectoryReply | Buffer) => {
    args = [
      Object.entries(given).map(([key, value]) => [key, Buffer.isBuffer(value) ? Buffer.from(value) : value]),
      request.extensions,
    ];
    if (row.reply === 'bytes') (sink as Buffer).fill(7, 0, Math.min(20, sink.length));
    const added = deed.entries.map(([entry, lookup]) =>
      (sink as DirectoryReply).add(entry, lookup && (() => lookup as never)),
    );
    if (added.indexOf(false) >= 0) (args as unknown[]).push(added);
    if (deed.how === 'throws an errno') throw ENOENT;
    if (deed.how === 'throws a bug') throw new TypeError('a bug');
    return deed.how === 'promises' ? Promise.resolve(deed.result) : deed.result;
  };
  const setxattrExt = operation !== 'SETXATTR_COMPAT';
  const method = deed.how === 'is absent' ? 'none' : (row.method ?? operation.toLowerCase());
  const server = new FakeServer({ [method]: handler }, undefined, setxattrExt);
  const slot = load(message, shape, { room: ROOM, setxattrExt });
  const answer = await by(server, slot, setxattrExt);
  const body = answer === undefined ? undefined : bodyOf(slot, answer);
  return { args, answer, body, bugs: server.bugs.length, unknown: server.unknowns };
}

describe(`compiled and generic dispatch agree (SEED=${seed})`, () => {
  test.each(operationNames)('%s', async (operation) => {
    const row = rows[operation];
    let reached = 0;
    const property = fc.asyncProperty(
      argumentsOf(row),
      row.extensions ? extensions : fc.constant(Buffer.alloc(0)),
      deedOf(row),
      wrong,
      async (args, extra, deed, what) => {
        const message = spoil(encodeRequest(operation, args, { extensions: extra }), row, what);
        const seen = [];
        for (const shape of SHAPES)
          for (const by of [serve, serveByTable])
            seen.push(await observe(by, operation, Buffer.from(message), deed, shape));
        const [first, ...others] = seen;
        if (first!.args !== undefined) reached++;
        for (const other of others) expect(other).toStrictEqual(first);
      },
    );
    await fc.assert(property, { seed, numRuns: RUNS });
    expect(reached, 'messages that reached a handler').toBeGreaterThan(RUNS / 3);
  });
});
