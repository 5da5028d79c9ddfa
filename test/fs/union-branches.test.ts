/** How branches are written, and changed: sizes, modes, patterns, instructions. */
import { mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { editBranches, parseBranches, parseSize, printBranches, printSize } from '../../src/fs/union/branches.ts';
import { pattern } from '../../src/fs/union/glob.ts';
import { temporary } from '../support.ts';

let dir: string;
beforeAll(() => {
  dir = realpathSync(temporary());
  for (const name of ['a', 'b', 'd1', 'd2', '.d3']) mkdirSync(join(dir, name));
  writeFileSync(join(dir, 'd4'), '');
  symlinkSync('a', join(dir, 'link'));
});
afterAll(() => rmSync(dir, { recursive: true }));
const named = (text: string) => text.replaceAll('%', `${dir}/`);
const shown = (text: string) => text.replaceAll(`${dir}/`, '%');

test('sizes', () => {
  expect(['0', '12', '1K', '10G', '3m', '2T'].map(parseSize)).toEqual([
    0,
    12,
    1024,
    10 * 2 ** 30,
    3 * 2 ** 20,
    2 ** 41,
  ]);
  for (const wrong of ['', '-1', '1.5G', '10Q', 'G', '99999999P', '1 G'])
    expect(() => parseSize(wrong)).toThrow(/is no size: a number is needed/u);
  for (const size of [0, 1, 1023, 1024, 4 * 2 ** 30, 2 ** 41, 4_294_967_295, 1536])
    expect(parseSize(printSize(size))).toBe(size);
  expect([printSize(4 * 2 ** 30), printSize(1536), printSize(2 ** 32 - 1)]).toEqual(['4G', '1536', '4294967295']);
});

describe('a list', () => {
  test.each([
    ['%a', '%a=RW'],
    ['%a=RO:%b=NC,10G', '%a=RO:%b=NC,10G'],
    ['%a::%b=RW,1024', '%a=RW:%b=RW,1K'],
    ['%d*=NC', '%d1=NC:%d2=NC'],
    ['%d[2-9]:%?', '%d2=RW:%a=RW:%b=RW'],
    ['%link', '%a=RW'],
  ])('%s is %s', (text, expected) => {
    const branches = parseBranches(named(text));
    expect(shown(printBranches(branches))).toBe(expected);
    expect(parseBranches(printBranches(branches))).toEqual(branches);
  });

  test.each([
    ['', 'no branch is named: A=RW:B=RO is what a list of branches looks like'],
    ['%a=WR', 'branch %a=WR has the mode WR: one of RW, RO, NC is needed'],
    ['%a=', 'branch %a= has the mode of no letters: one of RW, RO, NC is needed'],
    ['=RW', 'branch =RW has no path: PATH=RW|RO|NC[,SIZE] is needed'],
    ['%a=RW,10X', 'branch %a=RW,10X: 10X is no size: a number is needed, with K, M, G, T or P behind it or nothing'],
    ['%a=RW,1,2', 'branch %a=RW,1,2 has too many commas: PATH=RW|RO|NC[,SIZE] is needed'],
    ['%missing', 'branch %missing is not there, or no directory'],
    ['%d4', 'branch %d4 is not there, or no directory'],
    ['%x*', 'branch %x* is not there, or no directory'],
  ])('%s is refused', (text, message) => {
    expect(() => parseBranches(named(text))).toThrow(new RangeError(named(message)));
  });
});

describe('a change', () => {
  const change = (before: string, text: string) =>
    shown(printBranches(editBranches(parseBranches(named(before)), named(text))));
  test.each([
    ['%a', '%b=RO', '%b=RO'],
    ['%a', '=%b=RO', '%b=RO'],
    ['%a', '+%b', '%a=RW:%b=RW'],
    ['%a', '+>%b:%d1', '%a=RW:%b=RW:%d1=RW'],
    ['%a', '+<%b:%d1', '%b=RW:%d1=RW:%a=RW'],
    ['%a:%b:%d1', '-<', '%b=RW:%d1=RW'],
    ['%a:%b:%d1', '->', '%a=RW:%b=RW'],
    ['%a:%b:%d1:%d2', '-*/d*:%a', '%b=RW'],
  ])('%s %s gives %s', (before, text, after) => expect(change(before, text)).toBe(after));

  test.each([
    ['%a', '-<', 'no branch would be left: there has to be one'],
    ['%a:%b', '-*', 'no branch would be left: there has to be one'],
    ['%a', '+%a', 'branch %a is named twice'],
    ['%a', '><%b', '>< is no instruction: one of = + +> +< - -> -< is needed'],
    ['%a', '+', 'no branch is named: A=RW:B=RO is what a list of branches looks like'],
  ])('%s %s is refused', (before, text, message) =>
    expect(() => change(before, text)).toThrow(new RangeError(named(message))),
  );
});

test.each([
  ['/a/*', '/a/b/c', true],
  ['/a/?', '/a/b', true],
  ['/a/?', '/a/bb', false],
  ['/[ab]', '/b', true],
  ['/[!ab]', '/b', false],
  ['/[^a]', '/b', true],
  ['/[]]', '/]', true],
  ['/[a', '/[a', true],
  ['/a.b', '/axb', false],
  ['/\\*', '/*', true],
  ['/\\*', '/x', false],
])('the pattern %s and %s: %s', (text, path, matches) => expect(pattern(text).test(path)).toBe(matches));
