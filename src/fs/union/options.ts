/**
 * All options of a union, with mergerfs' names: one table, from which `-o`, the configuration file, the control file and the
 * help follow. What is set later wins, a category being a setting of all its functions.
 */
import { readFileSync } from 'node:fs';
import { EINVAL, ENODATA, EROFS } from '../../abi/errno.ts';
import type { BranchSetting } from './branches.ts';
import { FOREIGN, takeForeign } from './foreign.ts';
import {
  branchList,
  flag,
  type Kind,
  oneOf,
  pages,
  policy,
  policyOrNot,
  readdirWay,
  seconds,
  size,
  words,
} from './kinds.ts';
import { CATEGORIES, type Category, type PolicyName } from './policies.ts';
import type { Kept } from './state.ts';

/** What a policy is asked for, with its category. */
export const FUNCTIONS = {
  ...{ chmod: 'action', chown: 'action', link: 'action', removexattr: 'action', rename: 'action', rmdir: 'action' },
  ...{ setxattr: 'action', truncate: 'action', unlink: 'action', utimens: 'action' },
  ...{ create: 'create', mkdir: 'create', mknod: 'create', symlink: 'create' },
  ...{ access: 'search', getattr: 'search', getxattr: 'search', ioctl: 'search', listxattr: 'search' },
  ...{ open: 'search', readlink: 'search' },
} as const satisfies Record<string, Category>;
export type FunctionName = keyof typeof FUNCTIONS;
const DEFAULTS = { action: 'epall', create: 'pfrd', search: 'ff' } as const satisfies Record<Category, PolicyName>;

interface Row<T> {
  readonly kind: Kind<T>;
  readonly initial: T;
  /** Not to be changed once it is mounted. */
  readonly fixed: boolean;
  readonly help: string;
}
const row = <T>(kind: Kind<T>, initial: T, help: string): Row<T> => ({ kind, initial, fixed: false, help });
const fixed = <T>(kind: Kind<T>, initial: T, help: string): Row<T> => ({ kind, initial, fixed: true, help });

const CACHE_FILES = ['off', 'partial', 'full', 'auto-full', 'per-process'] as const;
export const INODE_CALC = [
  ...(['passthrough', 'path-hash', 'path-hash32', 'devino-hash', 'devino-hash32'] as const),
  ...(['hybrid-hash', 'hybrid-hash32'] as const),
] as const;

// biome-ignore format: a table, an option a line
const plain = {
  'allow-idmap': fixed(flag, false, 'allow idmapped mounts of the mount'),
  'branches': row<readonly BranchSetting[]>(branchList, [], 'what is merged'),
  'branches-mount-timeout': fixed(seconds, 0, 'wait so long for branches to be mounted (default 0)'),
  'branches-mount-timeout-fail': fixed(flag, false, 'refuse to mount where that was in vain'),
  'cache.attr': row(seconds, 1, 'how long attributes are cached (default 1)'),
  'cache.entry': row(seconds, 1, 'how long names are cached (default 1)'),
  'cache.files': row(oneOf(...CACHE_FILES), 'partial', 'the page cache of open files (default partial)'),
  'cache.files.process-names': row(words, 'rtorrent|qbittorrent-nox', 'who gets it with per-process'),
  'cache.negative-entry': row(seconds, 0, 'how long absent names are cached (default 0)'),
  'cache.readdir': row(flag, false, 'let the kernel cache directories'),
  'cache.statfs': row(seconds, 0, 'how long the space of branches is cached (default 0)'),
  'cache.symlinks': fixed(flag, false, 'let the kernel cache targets of symlinks'),
  'cache.writeback': fixed(flag, false, 'let the kernel gather writes'),
  'dropcacheonclose': row(flag, false, 'drop the page cache of a file on a branch when it is closed'),
  'export-support': fixed(flag, true, 'serve NFS'),
  'flush-on-close': row(oneOf('never', 'always', 'opened-for-write'), 'opened-for-write', 'whether close(2) closes on the branch'),
  'follow-symlinks': row(oneOf('never', 'directory', 'regular', 'all'), 'never', 'which symlinks are shown as what they lead to'),
  'func.readdir': row(readdirWay, 'seq', 'branches in turn, opened at once, or opened and read at once'),
  'fuse-msg-size': fixed(pages, 256, 'pages of 4 KiB in a request at most, or their size (default 1M)'),
  'ignorepponrename': row(flag, false, 'rename and link clone paths, whatever the create policy'),
  'inodecalc': row(oneOf(...INODE_CALC), 'hybrid-hash', 'what inode numbers are of'),
  'lazy-umount-mountpoint': fixed(flag, false, 'detach what is mounted at DIR first'),
  'link-cow': row(flag, false, 'a file with several links is copied before it is written to'),
  'link-exdev': row(oneOf('passthrough', 'rel-symlink', 'abs-base-symlink', 'abs-pool-symlink'), 'passthrough', 'what a link across branches becomes'),
  'minfreespace': row(size, 4 * 2 ** 30, 'what a branch must have available for new files (default 4G)'),
  'moveonenospc': row(policyOrNot, 'pfrd' as PolicyName | false, 'a write without space moves the file (default pfrd)'),
  'nfsopenhack': row(oneOf('off', 'git', 'all'), 'off', 'open a read-only file for writing that NFS refuses'),
  'nullrw': fixed(flag, false, 'read and write nothing, for measuring'),
  'parallel-direct-writes': row(flag, true, 'several writes at once to a file without page cache'),
  'passthrough.io': fixed(oneOf('off', 'ro', 'wo', 'rw'), 'off', 'the kernel reads and writes files itself that are opened so (default off)'),
  'posix-acl': fixed(flag, true, 'whether POSIX ACLs count (default true)'),
  'rename-exdev': row(oneOf('passthrough', 'rel-symlink', 'abs-symlink'), 'passthrough', 'what a rename across branches becomes'),
  'security-capability': row(flag, true, 'whether files have security.capability'),
  'statfs': row(oneOf('base', 'full'), 'base', 'statfs(2) of all branches, or of those that have the path'),
  'statfs-ignore': row(oneOf('none', 'ro', 'nc'), 'none', 'whose available space does not count'),
  'symlinkify': row(flag, false, 'show old read-only files as symlinks to themselves on the branch'),
  'symlinkify-timeout': row(seconds, 3600, 'how old (default 3600)'),
  'xattr': row(oneOf('passthrough', 'noattr', 'nosys'), 'passthrough', 'extended attributes: as they are, none, unknown'),
};
type Plain = { -readonly [N in keyof typeof plain]: (typeof plain)[N] extends Row<infer T> ? T : never };
type Functions = { -readonly [N in FunctionName as `func.${N}`]: PolicyName };
export type Values = Plain & Functions;

const names = Object.keys(FUNCTIONS) as FunctionName[];
/** The option that has a function's policy. */
export const POLICY_OPTION = Object.fromEntries(names.map((name) => [name, `func.${name}`])) as {
  readonly [N in FunctionName]: `func.${N}`;
};
const functions = Object.fromEntries(
  names.map((name) => [POLICY_OPTION[name], row(policy, DEFAULTS[FUNCTIONS[name]], `the policy of ${name}`)]),
);
const rows: Readonly<Record<string, Row<never>>> = { ...plain, ...functions } as never;

/** Options that are settings of others. */
const CATEGORY = /^category\.(action|create|search)$/u;
const CONFIG = 'config';
/** How deep a configuration file may name others. */
const DEEPEST = 5;

/** The form and meaning of each option but `branches`, by name. */
export const optionHelp: Readonly<Record<string, { readonly form: string; readonly help: string }>> =
  Object.fromEntries([
    [CONFIG, { form: 'config=FILE', help: 'a file with an option a line' }],
    ...CATEGORIES.map((each) => [
      `category.${each}`,
      { form: `category.${each}=POLICY`, help: `the policy of all ${each} functions (default ${DEFAULTS[each]})` },
    ]),
    ...Object.entries(rows)
      .filter(([name]) => name !== 'branches')
      .map(([name, { kind, help }]) => [name, { form: `${name}=${kind.form}`, help }]),
  ]);

export class Options {
  readonly values: Values;
  /** Told of each option that was changed at run time. */
  changed: (name: string) => void = () => {};
  /** Which were set, by their own name. */
  readonly given = new Set<string>();
  #config = '';

  constructor() {
    this.values = Object.fromEntries(Object.entries(rows).map(([name, { initial }]) => [name, initial])) as never;
  }

  /** All names, sorted. */
  static readonly names: readonly string[] = [...Object.keys(optionHelp), 'branches'].sort();
  /** What `set` takes: the names, and those of options that are mergerfs' alone, in both spellings. */
  static readonly spellings: readonly string[] = [...Options.names, ...Object.keys(FOREIGN)].flatMap((name) => [
    ...new Set([name, name.replaceAll('-', '_')]),
  ]);

  /** Sets an option as it is written. RangeError, in one line; an Error where a configuration file can't be read. */
  set(name: string, text: string, depth = 0): void {
    const known = named(name);
    const category = CATEGORY.exec(known)?.[1];
    const values: Record<string, unknown> = this.values;
    if (known === CONFIG) return this.#read(text, depth);
    if (takeForeign(known, text)) return;
    if (category === undefined && !Object.hasOwn(rows, known)) throw new RangeError(`unknown option ${name}`);
    try {
      if (category === undefined) {
        values[known] = rows[known]!.kind.parse(text, values[known] as never);
        this.given.add(known);
      } else {
        const chosen = policy.parse(text, 'ff');
        for (const each of names) if (FUNCTIONS[each] === category) values[POLICY_OPTION[each]] = chosen;
      }
    } catch (error) {
      if (known === 'branches') throw error; // says of which branch it speaks
      throw new RangeError(`option ${name} is ${text || 'empty'}: ${(error as Error).message}`);
    }
  }
  /** Lines of `name=value`; empty ones and those that begin with # say nothing. */
  #read(file: string, depth: number): void {
    if (depth === DEEPEST) throw new RangeError(`option config: more than ${DEEPEST} files that name each other`);
    for (const [i, line] of readFileSync(file, 'utf8').split('\n').entries()) {
      const [, name, value = ''] = /^\s*([^\s#=][^\s=]*)\s*(?:=\s*(.*?)\s*)?$/su.exec(line) ?? [];
      if (name === undefined) continue;
      try {
        this.set(name, value, depth + 1);
      } catch (error) {
        throw new RangeError(`${file}, line ${i + 1}: ${(error as Error).message}`);
      }
    }
    this.#config = file;
  }

  /** An option as it would be written; undefined for one that there is not. Of a category, the policies that its functions have. */
  get(name: string): string | undefined {
    const known = named(name);
    const values: Readonly<Record<string, unknown>> = this.values;
    if (known === CONFIG) return this.#config;
    const category = CATEGORY.exec(known)?.[1];
    if (category !== undefined)
      return [
        ...new Set(names.filter((each) => FUNCTIONS[each] === category).map((each) => values[POLICY_OPTION[each]])),
      ].join();
    return Object.hasOwn(rows, known) ? rows[known]!.kind.print(values[known] as never) : undefined;
  }

  /** All of it, for other threads. */
  kept(known: readonly string[], forgotten: number): Kept {
    return { values: this.values, given: [...this.given], config: this.#config, known, forgotten };
  }
  /** Takes over what another thread has kept. */
  take({ values, given, config }: Kept): void {
    Object.assign(this.values, values);
    for (const name of given) this.given.add(name);
    this.#config = config;
  }

  /** Sets an option of a mount that is served. ENODATA for one that there is not, EROFS for one that is fixed, EINVAL. */
  change(name: string, text: string): void {
    const known = named(name);
    if (this.get(known) === undefined) throw ENODATA;
    if (rows[known]?.fixed) throw EROFS;
    const before = { ...this.values };
    try {
      this.set(known, text);
      this.changed(known);
    } catch {
      Object.assign(this.values, before);
      throw EINVAL;
    }
  }
}

/** mergerfs takes both spellings. */
const named = (name: string): string => name.replaceAll('_', '-');
