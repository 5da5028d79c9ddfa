/** Patterns of the shell: as fnmatch(3) for whole paths, and as glob(3) for the directories that there are. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SPECIAL = /[*?[]/u;

/** Matches the whole of a text. `*` and `?` match slashes too, unless `within` a component, where they match no dot at its beginning either. */
export function pattern(text: string, within = false): RegExp {
  let source = within && !text.startsWith('.') ? '(?!\\.)' : '';
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]!;
    const end = letter === '[' ? text.indexOf(']', at + (/^\[[!^]/u.test(text.slice(at)) ? 3 : 2)) : -1;
    if (letter === '*') source += within ? '[^/]*' : '.*';
    else if (letter === '?') source += within ? '[^/]' : '.';
    else if (end > 0) {
      const inside = text.slice(at + 1, end).replace(/[\\\]]/gu, '\\$&');
      source += `[${inside.replace(/^!/u, '^')}]`;
      at = end;
    } else
      source += (letter === '\\' && at + 1 < text.length ? text[++at]! : letter).replace(
        /[\\^$.*+?()[\]{}|/]/gu,
        '\\$&',
      );
  }
  return new RegExp(`^${source}$`, 'su');
}

/** The directories that an absolute path with patterns in it names, in order; of one without patterns itself, if it is one. */
export function directories(path: string): string[] {
  let found = ['/'];
  for (const part of path.split('/').filter(Boolean))
    found = found.flatMap((at) => {
      if (!SPECIAL.test(part)) return [join(at, part)];
      const matches = pattern(part, true);
      return namesIn(at)
        .filter((name) => matches.test(name))
        .map((name) => join(at, name));
    });
  return found.filter((each) => statSync(each, { throwIfNoEntry: false })?.isDirectory());
}
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // no directory, or not ours to read
  }
}
