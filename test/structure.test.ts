/** The shape of the tree: which room may import which, how big a file may grow, what may be depended on. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from './installed.ts';

const files = ['src', 'tools', 'test', 'examples']
  .flatMap((top) => readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' }).map((path) => `${top}/${path}`))
  .filter((path) => statSync(join(ROOT, path)).isFile());
const sources = files.filter((path) => path.endsWith('.ts'));
const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** What a file imports, as written: static, dynamic, in types, and the modules of threads. */
const importsOf = (path: string): string[] =>
  [
    ...textOf(path).matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/gu),
    ...textOf(path).matchAll(/startWorker\(import\.meta\.url, '([^']+)'/gu),
  ].map(([, specifier]) => specifier!);

// Left to right: a file imports from its own room and from those before it.
const ROOMS = ['src/abi/', 'src/protocol/', 'src/uring/', 'src/fs/', 'src/', 'tools/', 'examples/', 'test/'] as const;
const roomOf = (path: string): number => ROOMS.findIndex((room) => path.startsWith(room));

describe('imports', () => {
  test('are found at all', () => {
    expect(sources.length).toBeGreaterThan(40);
    expect(importsOf('src/umount.ts')).toEqual(expect.arrayContaining(['node:events', './abi/umount-thread']));
  });

  test('go one way, from room to room', () => {
    const wrong = sources.flatMap((path) =>
      importsOf(path)
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => relative(ROOT, join(ROOT, dirname(path), specifier)))
        .filter((target) => roomOf(target) < 0 || roomOf(target) > roomOf(path))
        .map((target) => `${path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  test('of what is not ours: koffi in src/abi/syscall.ts, tests and tools what they are made with', () => {
    const foreign = new Map<string, string[]>();
    for (const path of sources)
      for (const specifier of importsOf(path))
        if (!specifier.startsWith('.') && !specifier.startsWith('node:') && !/^rawfuse\b/u.test(specifier))
          foreign.set(specifier, [...(foreign.get(specifier) ?? []), path]);
    expect(foreign.get('koffi')).toEqual(['src/abi/syscall.ts']);
    foreign.delete('koffi');
    const outside = [...foreign].flatMap(([specifier, paths]) =>
      paths.filter((path) => path.startsWith('src/')).map((path) => `${path}: ${specifier}`),
    );
    expect(outside).toEqual([]);
  });
});

test('no source of the library or its tools is longer than some 500 lines', () => {
  const long = sources.filter((path) => /^(src|tools)\//u.test(path) && textOf(path).split('\n').length > 530);
  expect(long).toEqual([]);
});

test('every source says first what it is for', () => {
  const silent = sources.filter(
    (path) => !path.startsWith('examples/') && !/^(#!.*\n)?(\/\*\*|\/\/)/u.test(textOf(path)),
  );
  expect(silent).toEqual([]);
});

test('nothing refers to what lies outside of the tree', () => {
  const outside = new RegExp(["(?<!from ')\\.\\./", 'shared/|/home/[a-z]'].join(''), 'u');
  const docs = readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`);
  const all = [...files, ...docs, 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', '.ci/run', 'package-lock.json'];
  expect(all.filter((path) => /\.(ts|md|svg|json|mjs|c|hex)$|run$/u.test(path) && outside.test(textOf(path)))).toEqual(
    [],
  );
});

describe('dependencies', () => {
  interface Locked {
    readonly version: string;
    readonly resolved?: string;
    readonly dev?: boolean;
    readonly devOptional?: boolean;
    readonly engines?: { readonly node?: string };
  }
  const { dependencies, devDependencies, engines } = JSON.parse(textOf('package.json'));
  const lock = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, Locked> };
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '');

  test('koffi alone at run time, all at exact versions', () => {
    expect(Object.keys(dependencies)).toEqual(['koffi']);
    for (const version of Object.values({ ...dependencies, ...devDependencies }))
      expect(version).toMatch(/^\d+\.\d+\.\d+$/u);
    const shipped = packages.filter(([, { dev, devOptional }]) => !dev && !devOptional).map(([path]) => path);
    expect(shipped.filter((path) => !/^node_modules\/(koffi|@koromix\/koffi-[\w-]+)$/u.test(path))).toEqual([]);
  });

  test('the lock names no registry', () => {
    // npm then takes each from the registry that is set up, and `integrity` still says that it is the one.
    expect(packages.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  });

  /** Whether Node 20.19.0 is in a range of the kinds that engines fields hold: `^18 || >=20.1`, `20 || >=22`. */
  function satisfied(range: string): boolean {
    const node = [20, 19, 0];
    return range.split('||').some((part) =>
      [
        ...part
          .replaceAll(/([<>=^~]) +/gu, '$1')
          .matchAll(/(\^|~|>=|<=|<|>|=)?v?(\d+|\*|x)(?:\.(\d+|x))?(?:\.(\d+|x))?/gu),
      ].every(([, operator = '', ...numbers]) => {
        const given = numbers.filter((each) => /^\d+$/u.test(each ?? '')).map(Number);
        if (given.length === 0) return true;
        const wanted = [0, 1, 2].map((i) => given[i] ?? 0);
        const i = [0, 1, 2].find((each) => node[each] !== wanted[each]);
        const order = i === undefined ? 0 : node[i]! - wanted[i]!;
        if (operator === '>=') return order >= 0;
        if (operator === '<') return order < 0;
        if (operator === '>') return order > 0;
        if (operator === '<=') return order <= 0;
        const same = operator === '^' ? 1 : operator === '~' ? 2 : given.length;
        return order >= 0 && wanted.slice(0, same).every((number, at) => number === node[at]);
      }),
    );
  }

  test.each([
    ['>=20.19', true],
    ['>= 12', true],
    ['^20.19.0 || >=22.12.0', true],
    ['^20.0.0 || ^22.0.0', true],
    ['20 || >=22', true],
    ['20.x', true],
    ['*', true],
    ['>=6.0.0 <21', true],
    ['^22.13.0 || >=24', false],
    ['>=20.20', false],
    ['^18.0.0', false],
    ['>=6 <20', false],
  ])('a range %s holds Node 20.19: %s', (range, expected) => expect(satisfied(range)).toBe(expected));

  test('each runs on Node 20.19', () => {
    expect(engines.node).toBe('>=20.19');
    const ranges = packages.filter(([, each]) => each.engines?.node);
    expect(ranges.length).toBeGreaterThan(50);
    expect(ranges.filter(([, each]) => !satisfied(each.engines!.node!)).map(([path]) => path)).toEqual([]);
  });
});
