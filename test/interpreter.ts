/** The Python that tests run. */
import { existsSync } from 'node:fs';

/**
 * Rather the system's than whatever comes first: a version manager's is a shell script that starts another one, which was seen
 * to take 1.5 s instead of 0.1.
 */
export const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
