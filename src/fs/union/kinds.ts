/** The kinds of values that options of a union have: how each is written, and read. Who reads one that can't be is told what could. */
import { type BranchSetting, editBranches, parseSize, printBranches, printSize } from './branches.ts';
import { isPolicy, POLICY_NAMES, type PolicyName } from './policies.ts';

export interface Kind<T> {
  /** As it is shown to users. */
  readonly form: string;
  /** `old` is the value before. RangeError: what is needed. */
  parse(text: string, old: T): T;
  print(value: T): string;
}
const needed = (what: string): never => {
  throw new RangeError(`${what} is needed`);
};

/** Of whatever size the machine's are: mergerfs counts these. */
export const PAGE = 4096;
const TRUE = ['true', '1', 'on', 'yes', ''];
const FALSE = ['false', '0', 'off', 'no'];
export const flag: Kind<boolean> = {
  form: 'true|false',
  parse: (text) => TRUE.includes(text) || (!FALSE.includes(text) && needed('true or false')),
  print: String,
};
export const seconds: Kind<number> = {
  form: 'SECONDS',
  parse: (text) => (/^\d{1,9}$/u.test(text) ? Number(text) : needed('a whole number of seconds')),
  print: String,
};
export const size: Kind<number> = { form: 'SIZE', parse: parseSize, print: printSize };
/** Pages of 4 KiB, 1 to 65535: how many, or the size of all, rounded up. */
export const pages: Kind<number> = {
  form: 'N|SIZE',
  parse(text) {
    const number = /^\d+$/u.test(text) ? Number(text) : Math.ceil(parseSize(text) / PAGE);
    return number >= 1 && number <= 65_535 ? number : needed('1 to 65535 pages of 4 KiB, or a size');
  },
  print: String,
};
export const words: Kind<string> = {
  form: 'TEXT',
  parse: (text) => (text.includes('\0') ? needed('text') : text),
  print: String,
};
export const oneOf = <const T extends string>(...names: readonly T[]): Kind<T> => ({
  form: names.length > 6 ? 'NAME' : names.join('|'),
  parse: (text) => names.find((each) => each === text) ?? needed(`one of ${names.join(', ')}`),
  print: String,
});
export const policy: Kind<PolicyName> = {
  form: 'POLICY',
  parse: (text) => (isPolicy(text) ? text : needed(`one of ${POLICY_NAMES.join(', ')}`)),
  print: String,
};
/** A policy for new files, or none; `true` is the usual one. */
export const policyOrNot: Kind<PolicyName | false> = {
  form: 'POLICY|true|false',
  parse: (text) =>
    isPolicy(text)
      ? text
      : TRUE.includes(text)
        ? 'pfrd'
        : FALSE.includes(text)
          ? false
          : needed(`true, false, or one of ${POLICY_NAMES.join(', ')}`),
  print: String,
};
/** Ways to read directories: by how many threads, and how many tasks may wait, of which there is no limit here. @see reading.ts */
export const readdirWay: Kind<string> = {
  form: 'seq|cosr[:N[:M]]|cor[:N[:M]]',
  parse: (text) =>
    /^(seq|(cosr|cor)(:-?\d+(:-?\d+)?)?)$/u.test(text) ? text : needed('seq, cosr[:N[:M]] or cor[:N[:M]]'),
  print: String,
};
export const branchList: Kind<readonly BranchSetting[]> = {
  form: 'PATH[=MODE[,SIZE]][:...]',
  parse: (text, old) => editBranches(old, text),
  print: printBranches,
};
