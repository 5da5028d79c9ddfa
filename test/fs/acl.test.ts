/**
 * POSIX ACLs and the modes that go with them. Lists are written as getfacl(1) writes them, `u::rw-,u:7:r--`, so that
 * a reader can check each by acl(5).
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EINVAL, EOPNOTSUPP } from '../../src/abi/errno.ts';
import {
  ACL_GROUP,
  ACL_GROUP_OBJ,
  ACL_MASK,
  ACL_OTHER,
  ACL_UNDEFINED_ID,
  ACL_USER,
  ACL_USER_OBJ,
  type Acl,
  type AclEntry,
  decodeAcl,
  encodeAcl,
  inherit,
  modeOf,
  withMode,
} from '../../src/fs/acl.ts';
import { seeded } from '../abi/random.ts';
import { hex } from '../protocol/support.ts';

seeded();

const OBJECTS: Readonly<Record<string, number>> = { u: ACL_USER_OBJ, g: ACL_GROUP_OBJ, m: ACL_MASK, o: ACL_OTHER };
const NAMED: Readonly<Record<string, number>> = { u: ACL_USER, g: ACL_GROUP };

const permOf = (text: string) => [...text].reduce((perm, letter) => perm * 2 + (letter === '-' ? 0 : 1), 0);
const acl = (text: string): Acl =>
  text.split(',').map((entry): AclEntry => {
    const [who = '', id = '', rwx = ''] = entry.split(':');
    const tag = (id === '' ? OBJECTS : NAMED)[who];
    if (tag === undefined || !/^[r-][w-][x-]$/u.test(rwx)) throw new Error(`${entry} is no ACL entry`);
    return { tag, perm: permOf(rwx), id: id === '' ? ACL_UNDEFINED_ID : Number(id) };
  });

/** Each member of each entry different. */
const GOLDEN = hex(`
  02000000               # version 2
  0100 0600 ffffffff     # USER_OBJ  rw-
  0200 0400 39300000     # USER      r--  12345
  0400 0500 ffffffff     # GROUP_OBJ r-x
  0800 0200 d0070000     # GROUP     -w-  2000
  1000 0700 ffffffff     # MASK      rwx
  2000 0100 ffffffff     # OTHER     --x
`);
const GOLDEN_TEXT = 'u::rw-,u:12345:r--,g::r-x,g:2000:-w-,m::rwx,o::--x';

describe('the xattr', () => {
  test('is read and written byte for byte', () => {
    expect(decodeAcl(GOLDEN)).toEqual(acl(GOLDEN_TEXT));
    expect(encodeAcl(acl(GOLDEN_TEXT))).toEqual(GOLDEN);
  });

  test('is read where it lies in a larger buffer', () => {
    const inside = Buffer.concat([Buffer.alloc(5, 0xa5), GOLDEN, Buffer.alloc(5, 0xa5)]).subarray(5, 5 + GOLDEN.length);
    expect(decodeAcl(inside)).toEqual(acl(GOLDEN_TEXT));
  });

  test('whatever stands where an entry has no id is not read', () => {
    const strange = Buffer.from(GOLDEN);
    strange.writeUInt32LE(7, 8);
    expect(decodeAcl(strange)).toEqual(acl(GOLDEN_TEXT));
  });

  test.each([
    ['nothing', ''],
    ['half a header', '0200'],
    ['no entry at all', '02000000'],
    ['half an entry', '02000000 01000600'],
    ['an entry that is cut short at its end', GOLDEN.subarray(0, -1).toString('hex')],
  ])('%s is EINVAL', (_, text) => {
    expect(() => decodeAcl(hex(text))).toThrow(EINVAL);
  });

  test.each([['01000000'], ['03000000'], ['00000002'], ['00000000']])('of version %s is EOPNOTSUPP', (version) => {
    expect(() => decodeAcl(Buffer.concat([hex(version), GOLDEN.subarray(4)]))).toThrow(EOPNOTSUPP);
  });
});

describe('what is an ACL', () => {
  test.each([
    ['u::rwx,g::r-x,o::---'],
    ['u::rwx,g::r-x,m::r--,o::---'],
    ['u::rwx,u:7:rwx,g::r-x,m::r--,o::---'],
    ['u::rwx,g::r-x,g:7:r--,m::r--,o::---'],
    ['u::rwx,u:9:rwx,u:7:r--,u:9:---,g::r-x,m::r--,o::---'], // neither sorted nor unique
    ['u::rwx,u:0:rwx,g::r-x,m::r--,o::---'],
    ['u::rwx,u:4294967294:rwx,g::r-x,m::r--,o::---'],
  ])('%s is one', (text) => {
    expect(decodeAcl(encodeAcl(acl(text)))).toEqual(acl(text));
  });

  test.each([
    ['no owner', 'g::r-x,o::---'],
    ['no group', 'u::rwx,o::---'],
    ['no others', 'u::rwx,g::r-x'],
    ['two owners', 'u::rwx,u::rwx,g::r-x,o::---'],
    ['two groups', 'u::rwx,g::r-x,g::r-x,o::---'],
    ['two masks', 'u::rwx,g::r-x,m::rwx,m::rwx,o::---'],
    ['two others', 'u::rwx,g::r-x,o::---,o::---'],
    ['a named user without a mask', 'u::rwx,u:7:r--,g::r-x,o::---'],
    ['a named group without a mask', 'u::rwx,g::r-x,g:7:r--,o::---'],
    ['the group before the owner', 'g::r-x,u::rwx,o::---'],
    ['a named user before the owner', 'u:7:r--,u::rwx,g::r-x,m::rwx,o::---'],
    ['a named user after the group', 'u::rwx,g::r-x,u:7:r--,m::rwx,o::---'],
    ['a named group before the group', 'u::rwx,g:7:r--,g::r-x,m::rwx,o::---'],
    ['the mask before the group', 'u::rwx,m::rwx,g::r-x,o::---'],
    ['the mask after the others', 'u::rwx,g::r-x,o::---,m::rwx'],
    ['a user of id -1', 'u::rwx,u:4294967295:r--,g::r-x,m::rwx,o::---'],
    ['a group of id -1', 'u::rwx,g::r-x,g:4294967295:r--,m::rwx,o::---'],
  ])('%s is EINVAL', (_, text) => {
    expect(() => decodeAcl(encodeAcl(acl(text)))).toThrow(EINVAL);
  });

  const minimal = acl('u::rwx,g::r-x,o::---');
  test.each([0, 0x40, 0x03, 0x81])('a tag of %i is EINVAL', (tag) => {
    const strange = { tag, perm: 7, id: 7 };
    expect(() => decodeAcl(encodeAcl([...minimal, strange]))).toThrow(EINVAL);
    expect(() => decodeAcl(encodeAcl([minimal[0]!, strange, ...minimal.slice(1)]))).toThrow(EINVAL);
  });
  test.each([0o10, 0o17, 0x8000])('a permission of %i is EINVAL', (perm) => {
    expect(() => decodeAcl(encodeAcl([{ ...minimal[0]!, perm }, ...minimal.slice(1)]))).toThrow(EINVAL);
  });
});

describe('the mode', () => {
  test.each([
    ['u::rw-,g::r--,o::--x', 0o641, false],
    ['u::---,g::---,o::---', 0, false],
    // The mask stands for the group, whether it gives less than the group's entry or more.
    ['u::rw-,g::r--,m::-w-,o::--x', 0o621, true],
    ['u::rw-,u:7:rwx,g::r--,m::r-x,o::---', 0o650, true],
    ['u::rw-,g::rwx,g:7:rwx,m::---,o::---', 0o600, true],
  ])('of %s', (text, mode, extended) => {
    expect(modeOf(acl(text))).toEqual({ mode, extended });
  });

  test.each([
    ['u::rw-,g::r--,o::--x', 0o750, 'u::rwx,g::r-x,o::---'],
    ['u::rw-,g::r--,m::-w-,o::--x', 0o754, 'u::rwx,g::r--,m::r-x,o::r--'],
    ['u::rw-,u:7:rwx,g::r--,g:8:-wx,m::rwx,o::---', 0o107007, 'u::---,u:7:rwx,g::r--,g:8:-wx,m::---,o::rwx'],
  ])('of %s is changed to %o', (text, mode, after) => {
    expect(withMode(acl(text), mode)).toEqual(acl(after));
  });
});

describe('a new file in a directory with a default ACL', () => {
  test('has what both the call and the default give', () => {
    expect(inherit(acl('u::rwx,u:7:rwx,g::r-x,m::rwx,o::r-x'), 0o100664)).toEqual({
      mode: 0o100664,
      access: acl('u::rw-,u:7:rwx,g::r-x,m::rw-,o::r--'),
    });
    expect(inherit(acl('u::r-x,u:7:rwx,g::rwx,m::r--,o::---'), 0o100666)).toEqual({
      mode: 0o100440,
      access: acl('u::r--,u:7:rwx,g::rwx,m::r--,o::---'),
    });
  });

  test('keeps its type and special bits', () => {
    expect(inherit(acl('u::rwx,g::---,m::r--,o::---'), 0o107777).mode).toBe(0o107740);
    expect(inherit(acl('u::rwx,g::---,o::---'), 0o043777)).toEqual({ mode: 0o043700, access: undefined });
  });

  test('has no ACL where the mode says it all', () => {
    expect(inherit(acl('u::rwx,g::r-x,o::r-x'), 0o100666)).toEqual({ mode: 0o100644, access: undefined });
  });

  test('keeps a mask that grants all: the mode does not say that it is there', () => {
    expect(inherit(acl('u::rwx,g::rwx,m::rwx,o::rwx'), 0o100777).access).toEqual(acl('u::rwx,g::rwx,m::rwx,o::rwx'));
  });
});

describe('of any ACL', () => {
  const perms = fc.nat(7);
  const ids = fc.integer({ min: 0, max: ACL_UNDEFINED_ID - 1 });
  const object = (tag: number) => fc.record({ tag: fc.constant(tag), perm: perms, id: fc.constant(ACL_UNDEFINED_ID) });
  const someNamed = (tag: number) =>
    fc.array(fc.record({ tag: fc.constant(tag), perm: perms, id: ids }), { maxLength: 4 });
  const acls: fc.Arbitrary<Acl> = fc
    .tuple(
      object(ACL_USER_OBJ),
      someNamed(ACL_USER),
      object(ACL_GROUP_OBJ),
      someNamed(ACL_GROUP),
      object(ACL_MASK),
      object(ACL_OTHER),
      fc.boolean(),
    )
    .map(([user, users, group, groups, mask, other, masked]) => [
      user,
      ...users,
      group,
      ...groups,
      ...(masked || users.length + groups.length > 0 ? [mask] : []),
      other,
    ]);
  const modes = fc.nat(0xffff);

  /** What the entries of the three classes say, found without acl.ts's own idea of places. */
  const shown = (list: Acl) => {
    const perm = (tag: number) => list.find((entry) => entry.tag === tag)?.perm;
    return `${perm(ACL_USER_OBJ)}${perm(ACL_MASK) ?? perm(ACL_GROUP_OBJ)}${perm(ACL_OTHER)}`;
  };
  const octal = (mode: number) => (mode & 0o777).toString(8).padStart(3, '0');

  test('it goes there and back', () => {
    fc.assert(
      fc.property(acls, (list) => {
        expect(decodeAcl(encodeAcl(list))).toEqual(list);
      }),
    );
  });

  test('what decodes obeys the rules, one by one; what does not breaks one of them', () => {
    const tags = fc.constantFrom(ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER);
    const entry = fc.record({ tag: tags, perm: perms, id: ids });
    const sorted = fc.array(entry, { maxLength: 8 }).map((list) => list.sort((one, other) => one.tag - other.tag));
    let accepted = 0;
    const property = fc.property(fc.oneof(sorted, acls, fc.array(entry, { maxLength: 6 })), (list) => {
      const count = (tag: number) => list.filter((each) => each.tag === tag).length;
      const single = [ACL_USER_OBJ, ACL_GROUP_OBJ, ACL_OTHER].every((tag) => count(tag) === 1);
      const masks = count(ACL_MASK) === 1 || (count(ACL_MASK) === 0 && count(ACL_USER) + count(ACL_GROUP) === 0);
      const ordered = list.every(({ tag }, i) => i === 0 || list[i - 1]!.tag <= tag);
      const decode = () => decodeAcl(encodeAcl(list));
      if (single && masks && ordered) {
        expect(decode().map(({ tag }) => tag)).toEqual(list.map(({ tag }) => tag));
        accepted++;
      } else expect(decode).toThrow(EINVAL);
    });
    fc.assert(property, { numRuns: 1000 });
    expect(accepted).toBeGreaterThan(100);
  });

  test('chmod(2) gives it the mode, and changes nothing that the mode does not show', () => {
    fc.assert(
      fc.property(acls, modes, (list, mode) => {
        const after = withMode(list, mode);
        expect(shown(after)).toBe(octal(mode));
        expect(modeOf(after).mode).toBe(mode & 0o777);
        const hidden = (some: Acl) => some.filter(({ tag }) => tag === ACL_USER || tag === ACL_GROUP);
        expect(hidden(after)).toEqual(hidden(list));
        // That the mode brings all of the list back shows that no other entry and no id has changed.
        expect(withMode(after, modeOf(list).mode)).toEqual(list);
      }),
    );
  });

  test('inheriting gives no more than the mode asked for and the default has, and all of that', () => {
    fc.assert(
      fc.property(acls, modes, (defaults, asked) => {
        const { mode, access } = inherit(defaults, asked);
        expect(octal(mode)).toBe(octal(asked & Number.parseInt(shown(defaults), 8)));
        expect(mode & ~0o777).toBe(asked & ~0o777);
        expect(access === undefined).toBe(defaults.length === 3);
        if (access) {
          expect(shown(access)).toBe(octal(mode));
          expect(decodeAcl(encodeAcl(access))).toEqual(access);
          for (const [i, { perm }] of access.entries()) expect(perm & ~defaults[i]!.perm).toBe(0);
        }
      }),
    );
  });
});
