/*
 * Durable appends in C, one at a time: what `npm run bench -- durable` compares with. 4 KiB at the end of a file, and
 * nothing else in the loop but the system calls that it takes, made without a library.
 *
 *   durable FILE HOW       HOW: pwrite    pwrite(2) and fdatasync(2)
 *                               dsync     pwritev2(2) with RWF_DSYNC
 *                               linked    a ring's WRITE and FSYNC, linked, one io_uring_enter(2) for both
 *                               sqpoll    the same on a ring whose entries a thread of the kernel's takes
 *
 * Reads how many, a line each time, and says how many nanoseconds they took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define ENTRIES 8

static int ring;
static unsigned *sq_tail, *sq_mask, *sq_flags, *sq_array, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static int polled;

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static void set_up(void) {
	struct io_uring_params p;
	memset(&p, 0, sizeof p);
	/* As our ring on an event loop is, but for the polling thread's. */
	p.flags = polled ? IORING_SETUP_SQPOLL : IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	p.sq_thread_idle = 100;
	ring = syscall(__NR_io_uring_setup, ENTRIES, &p);
	if (ring < 0) fail("io_uring_setup");
	size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	if (size < p.sq_off.array + p.sq_entries * sizeof(unsigned)) size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	char *at = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	sqes = mmap(0, p.sq_entries * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	if (at == MAP_FAILED || sqes == MAP_FAILED) fail("mmap");
	sq_tail = (unsigned *)(at + p.sq_off.tail);
	sq_mask = (unsigned *)(at + p.sq_off.ring_mask);
	sq_flags = (unsigned *)(at + p.sq_off.flags);
	sq_array = (unsigned *)(at + p.sq_off.array);
	cq_head = (unsigned *)(at + p.cq_off.head);
	cq_tail = (unsigned *)(at + p.cq_off.tail);
	cq_mask = (unsigned *)(at + p.cq_off.ring_mask);
	cqes = (struct io_uring_cqe *)(at + p.cq_off.cqes);
}

static struct io_uring_sqe *next(unsigned tail, int opcode, int fd, int flags) {
	unsigned i = tail & *sq_mask;
	memset(&sqes[i], 0, sizeof *sqes);
	sqes[i].opcode = opcode;
	sqes[i].fd = fd;
	sqes[i].flags = flags;
	sq_array[i] = i;
	return &sqes[i];
}

static void linked(int fd, const char *block, off_t at) {
	unsigned tail = *sq_tail;
	struct io_uring_sqe *sqe = next(tail, IORING_OP_WRITE, fd, IOSQE_IO_LINK);
	sqe->addr = (unsigned long)block;
	sqe->len = BLOCK;
	sqe->off = at;
	sqe = next(tail + 1, IORING_OP_FSYNC, fd, 0);
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
	__atomic_store_n(sq_tail, tail + 2, __ATOMIC_SEQ_CST);
	unsigned flags = IORING_ENTER_GETEVENTS;
	if (polled && __atomic_load_n(sq_flags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP) flags |= IORING_ENTER_SQ_WAKEUP;
	unsigned head = *cq_head;
	for (int submit = polled ? 0 : 2; __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) - head < 2;) {
		int n = syscall(__NR_io_uring_enter, ring, submit, 2 - (__atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) - head), flags, 0, 0);
		if (n < 0 && errno != EINTR) fail("io_uring_enter");
		if (n > 0) submit -= submit < n ? submit : n;
	}
	for (int i = 0; i < 2; i++, head++)
		if (cqes[head & *cq_mask].res != (i == 0 ? BLOCK : 0)) {
			fprintf(stderr, "completion %d: %d\n", i, cqes[head & *cq_mask].res);
			exit(1);
		}
	__atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
}

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
	if (argc != 3) return 2;
	const char *how = argv[2];
	int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) fail(argv[1]);
	char *block;
	if (posix_memalign((void **)&block, BLOCK, BLOCK)) return 1;
	memset(block, 'x', BLOCK);
	polled = !strcmp(how, "sqpoll");
	if (polled || !strcmp(how, "linked")) set_up();
	struct iovec vector = {block, BLOCK};
	off_t at = 0;
	char line[32];
	while (fgets(line, sizeof line, stdin)) {
		long long begin = now();
		for (long left = atol(line); left > 0; left--, at += BLOCK) {
			if (ring) linked(fd, block, at);
			else if (!strcmp(how, "dsync")) {
				if (pwritev2(fd, &vector, 1, at, RWF_DSYNC) != BLOCK) fail("pwritev2");
			} else if (pwrite(fd, block, BLOCK, at) != BLOCK || fdatasync(fd)) fail("pwrite");
		}
		printf("%lld\n", now() - begin);
		fflush(stdout);
	}
	return 0;
}
