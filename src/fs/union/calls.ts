/** The system calls that change names on branches. They are handed in where they are made, so that a test can have any of them fail. */
import { linkat, mkdirat, renameat2, unlinkat } from '../../abi/files.ts';

export const CALLS = { linkat, mkdirat, renameat2, unlinkat };
export type Calls = typeof CALLS;
