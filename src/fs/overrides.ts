import type { Filesystem } from '../protocol/filesystem.ts';
export const withOverrides = (filesystem: Filesystem, _options: object): Filesystem => filesystem;
