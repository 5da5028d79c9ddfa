#!/usr/bin/env bash
# The tests that run for long, one after the other: hours. Each prints its seed; the variables are told where they are read.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# On bytes and in memory.
MESSAGES=5000000 npx vitest run --project device test/protocol/hostile.test.ts
OPERATIONS=50000 npx vitest run --project device test/fs/random.test.ts
RACE=60 npx vitest run --project device test/fs/shared-race.test.ts test/fs/shared-memory-race.test.ts test/fs/union-race.test.ts
SECONDS=600 npx vitest run --project device test/uring/random.test.ts

# Mounts, over both transports.
OPERATIONS=1000000 npx vitest run test/mount/exerciser.test.ts
OPERATIONS=200000 npx vitest run test/mount/random.test.ts
ROWS=all npx vitest run test/mount/posix.test.ts
WAITERS=10000 npx vitest run --project device test/mount/locks.test.ts
RACE=60 npx vitest run test/mount/threads-race.test.ts test/mount/union-race.test.ts
FILES=1000000 npx vitest run test/mount/million.test.ts
MOUNTS=10000 npx vitest run test/mount/uring.test.ts -t mounts
MOUNTS=200 npx vitest run test/mount/threads.test.ts -t mounts
ROWS=all npx vitest run test/mount/passthrough-posix.test.ts
ROWS=all npx vitest run test/mount/union-posix.test.ts
OPERATIONS=100000 npx vitest run test/mount/passthrough-random.test.ts
FILES=1000000 npx vitest run --project device test/mount/passthrough-options.test.ts -t walked
OPERATIONS=100000 npx vitest run test/mount/union-random.test.ts
