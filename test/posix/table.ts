/**
 * What a row of the POSIX table is. A row is a script for agent.py, run in an empty directory; its results must
 * be the same on tmpfs, on ext4 and on a mount of ours. So a result holds what Linux promises alone: no inode
 * numbers, no times of day, no sizes of directories.
 */

export interface Row {
  /** Python, in the words of agent.py. */
  readonly script: string;
  /** Where the native filesystems differ, or one of them can't: the one whose way is ours. */
  readonly like?: 'tmpfs' | 'ext4';
  /** Where FUSE itself makes a difference: what the mount gives instead, and the heading in docs/posix.md that explains it. */
  readonly fuse?: { readonly out: readonly unknown[]; readonly why: string };
}
/** Rows by name: "call: what it does". */
export type Table = Readonly<Record<string, string | Row>>;
