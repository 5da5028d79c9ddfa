/**
 * Every table of src/abi/fuse.ts against C, twice: against the data of FUSE 7.45, with nothing missing and
 * nothing added, and against the header of the machine that runs the test, which is usually older.
 */
import { describe, expect, test } from 'vitest';
import { FUSE_KERNEL_MINOR_VERSION } from '../../src/abi/fuse-constants.ts';
import { type AnyStruct, type Fields, i32, i53, struct, u8, u16, u32, u53, u64 } from '../../src/abi/struct.ts';
import { compilerTest, complaints, macros, preprocess } from './compiler.ts';
import { layouts, tables } from './data.ts';

/** Ours: second forms of a struct of the header, and the struct of the header whose bytes they lay out. */
const OURS: Readonly<Record<string, readonly string[]>> = {
  fuse_readdir_in: ['fuse_read_in'],
  fuse_setxattr_compat_in: ['fuse_setxattr_in'],
  fuse_copy_file_range_compat_out: ['fuse_write_out'],
  fuse_create_out: ['fuse_entry_out', 'fuse_open_out'],
};

/** The kinds of member that may stand for a C type. */
const KINDS: Readonly<Record<string, readonly unknown[]>> = {
  u8: [u8],
  u16: [u16],
  u32: [u32],
  i32: [i32],
  u64: [u64, u53],
  i64: [i53],
};
/** Members that C declares unsigned, and that carry a time_t: a number before 1970 is negative. */
const TIMES = new Set(['atime', 'mtime', 'ctime']);

/** Where a table differs from a layout, in words; nothing if it agrees. */
function differences(name: string, table: AnyStruct): string[] {
  const layout = layouts[name]!;
  const found: string[] = [];
  const say = (what: string) => found.push(`${name}: ${what}`);
  if (table.size !== layout.size) say(`${table.size} bytes, not ${layout.size}`);
  const members = Object.keys(table.fields);
  const expected = Object.keys(layout.fields);
  if (members.join() !== expected.join()) say(`members ${members}, not ${expected}`);
  for (const [member, c] of Object.entries(layout.fields)) {
    const field = table.fields[member];
    if (field === undefined) continue;
    if (table.offset[member] !== c.offset) say(`${member} at ${table.offset[member]}, not ${c.offset}`);
    if (field.size !== c.size) say(`${member} has ${field.size} bytes, not ${c.size}`);
    const [, nested, scalar = '', array] = /^(?:struct (\w+)|(\w+?)(\[\d+\])?)$/.exec(c.type)!;
    // A member that carries nothing has no kind: its width and its place are all there is.
    const kinds = nested ? [tables[nested]] : TIMES.has(member) ? [i53] : KINDS[scalar]!;
    if (field.read && (array || !kinds.includes(field))) say(`${member} can't stand for ${c.type}`);
  }
  return found;
}

/** A table in which two members have changed places. */
function swapped(table: AnyStruct, one: string, other: string): AnyStruct {
  const name = (member: string) => (member === one ? other : member === other ? one : member);
  return struct(Object.fromEntries(Object.keys(table.fields).map((m) => [name(m), table.fields[name(m)]!])) as Fields);
}

describe('FUSE 7.45', () => {
  test('the data holds 76 structs', () => expect(Object.keys(layouts)).toHaveLength(76));

  test('every struct is declared, and nothing else but our second forms', () => {
    expect(Object.keys(tables).sort()).toEqual([...Object.keys(layouts), ...Object.keys(OURS)].sort());
  });

  test.each(Object.keys(layouts))(
    '%s has the size, the members, the offsets, the widths and the types of C',
    (name) => {
      expect(differences(name, tables[name]!)).toEqual([]);
    },
  );

  test.each(Object.entries(OURS))('%s lays out the bytes of %j', (name, parts) => {
    const table = tables[name]!;
    if (parts.length > 1) {
      expect(Object.values(table.fields)).toEqual(parts.map((part) => tables[part]));
      return;
    }
    const whole = Object.values(layouts[parts[0]!]!.fields);
    const own = Object.keys(table.fields).map((m) => ({ offset: table.offset[m], size: table.fields[m]!.size }));
    // The compatible form of setxattr_in is the beginning of the whole.
    expect(whole.map(({ offset, size }) => ({ offset, size })).slice(0, own.length)).toEqual(own);
    expect(table.size).toBe(whole[own.length]?.offset ?? layouts[parts[0]!]!.size);
  });

  test('two members that changed places are seen', () => {
    expect(differences('fuse_attr', swapped(tables.fuse_attr!, 'uid', 'gid'))).toContain(
      'fuse_attr: uid at 72, not 68',
    );
  });
});

/**
 * The minor in which a struct took its present form: until then some members were still padding, or the end
 * was missing, so an older header is compared only where both have a member that carries something.
 */
const FORMED: Readonly<Record<string, number>> = {
  fuse_attr: 32, // flags
  fuse_open_in: 33, // open_flags
  fuse_create_in: 33, // open_flags
  fuse_setxattr_in: 33, // 8 bytes more
  fuse_init_in: 36, // 48 bytes more
  fuse_in_header: 38, // total_extlen
  fuse_notify_inval_entry_out: 38, // flags
  fuse_open_out: 40, // backing_id
  fuse_init_out: 43, // request_timeout
};

interface CMember {
  readonly name: string;
  readonly flexible: boolean;
}

/** The structs of the system's header: their names, and their members'. */
async function systemStructs(): Promise<Map<string, CMember[]>> {
  const text = await preprocess('#include <linux/fuse.h>\n');
  const found = new Map<string, CMember[]>();
  for (const [, name, body] of text.matchAll(/\bstruct\s+((?:fuse|cuse)_\w+)\s*\{([^{}]*)\}\s*;/g)) {
    const members = body!.split(';').flatMap((declaration) => {
      const match = /(\w+)\s*(\[[^\]]*\])?\s*$/.exec(declaration.trim());
      return match ? [{ name: match[1]!, flexible: match[2] !== undefined && /^\[\s*\]$/.test(match[2]) }] : [];
    });
    found.set(name!, members);
  }
  return found;
}

/** C that compiles only if the system's header has these tables' sizes, offsets and widths. */
function assertions(structs: ReadonlyMap<string, CMember[]>, ours: Readonly<Record<string, AnyStruct>>, minor: number) {
  const source = ['#include <stddef.h>', '#include <linux/fuse.h>'];
  const assert = (condition: string, what: string) => source.push(`_Static_assert(${condition}, "${what}");`);
  const unknown: string[] = [];
  let members = 0;
  for (const [name, list] of structs) {
    const table = ours[name];
    if (table === undefined) {
      unknown.push(name);
      continue;
    }
    const formed = minor >= (FORMED[name] ?? 0);
    if (formed) assert(`sizeof(struct ${name}) == ${table.size}`, `${name}: size`);
    for (const { name: member, flexible } of list) {
      const field = table.fields[member];
      if (!formed && field?.read === undefined) continue;
      if (field === undefined) {
        unknown.push(`${name}.${member}`);
        continue;
      }
      members++;
      assert(`offsetof(struct ${name}, ${member}) == ${table.offset[member]}`, `${name}.${member}: offset`);
      if (flexible) assert(String(field.size === 0 ? 1 : 0), `${name}.${member}: width`);
      else assert(`sizeof(((struct ${name} *)0)->${member}) == ${field.size}`, `${name}.${member}: width`);
    }
  }
  return { source: source.join('\n'), unknown, members };
}

describe("this system's <linux/fuse.h>", () => {
  const header = async () => {
    const [structs, numbers] = await Promise.all([
      systemStructs(),
      macros(['linux/fuse.h'], ['FUSE_KERNEL_MINOR_VERSION']),
    ]);
    return { structs, minor: Number(numbers.get('FUSE_KERNEL_MINOR_VERSION')) };
  };

  compilerTest('has every size, offset and width of our tables', async () => {
    const { structs, minor } = await header();
    const { source, unknown, members } = assertions(structs, tables, minor);
    const compared = [...structs.keys()].filter((name) => name in tables).length;
    console.log(`compared ${compared} structs and ${members} members with the system's header, 7.${minor}`);
    expect(await complaints(source)).toEqual([]);
    expect(compared).toBeGreaterThanOrEqual(50);
    // A newer header may have what we lack; an older one may not.
    if (minor <= FUSE_KERNEL_MINOR_VERSION) expect(unknown).toEqual([]);
  });

  compilerTest('contradicts a table with two members that changed places', async () => {
    const { structs, minor } = await header();
    const wrong = { ...tables, fuse_attr: swapped(tables.fuse_attr!, 'uid', 'gid') };
    expect((await complaints(assertions(structs, wrong, minor).source)).join('\n')).toContain('fuse_attr.uid: offset');
  });

  compilerTest('contradicts a table with a member that is too narrow', async () => {
    const { structs, minor } = await header();
    const { mode: _, ...others } = tables.fuse_mkdir_in!.fields;
    const wrong = { ...tables, fuse_mkdir_in: struct({ mode: u16, half: u16, ...others }) };
    expect((await complaints(assertions(structs, wrong, minor).source)).join('\n')).toContain(
      'fuse_mkdir_in.mode: width',
    );
  });
});
