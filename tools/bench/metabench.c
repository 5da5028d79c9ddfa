// The load client: metabench DIR OP THREADS SECONDS, a closed-loop file system microbenchmark, one JSON line out.
//
// gcc -O2 -Wall -pthread -o metabench metabench.c
//
// Each thread issues one op after another (queue depth 1 per thread) for SECONDS.
// Everything lives in DIR/mb/ and is created on first use, reused later; OP "clean" removes it.
//
//  statfs        statfs(2) on DIR: never cached by FUSE, one FUSE_STATFS per op = pure round trip
//  stat          fstatat, round robin over 1000 files (entry/attr caches of the server apply)
//  statx_sync    statx(AT_STATX_FORCE_SYNC) over the same 1000 files: FUSE must send GETATTR even if
//                attributes are cached (the name look-up may still come from the entry cache)
//  stat_enoent   fstatat of a name that does not exist (negative dentries apply when the server sets them)
//  open_close    open(O_RDONLY) of an existing file + close
//  create_unlink open(O_CREAT|O_EXCL|O_WRONLY) + close + unlink, each thread in a directory of its own
//  small_file    the same with a write of 4 KiB before the close
//  mkdir_rmdir   mkdir + rmdir, each thread in a directory of its own
//  rename        rename a<->b in the thread's own directory
//  readdir       opendir + readdir to the end + closedir of a directory of 1000 files
//  listN         the same, without looking up the path each time, over a directory of N files, which is made on first
//                use by mknod(2) where there is none
//  changedN      the same after a mknod + unlink in that directory, so that no listing of before is that of now
//  read4k        pread of 4 KiB at a random 4 KiB-aligned offset of a 64 MiB file, O_DIRECT when possible
//  write4k       pwrite likewise
//  read1m        the same of 1 MiB; any of the four with "buffered_" before it is never O_DIRECT, and finds the file in
//  write1m       the page cache
//  seqread       1 MiB reads over a 256 MiB file (split into THREADS segments, each thread loops over
//  seqread128k   its own; page cache dropped before every pass); one op = one read call
//  seqwrite      1 MiB / 128 KiB writes over a 256 MiB file, overwriting in place, split likewise; buffered,
//  seqwrite128k  no fsync (without FUSE writeback cache every write reaches the server synchronously)
// Environment: MB_NO_DIRECT=1 never O_DIRECT; MB_SHARED_DIR=1 create_unlink/mkdir_rmdir/rename in one directory.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define NFILES 1000
#define RWSIZE (64ull << 20)
#define SEQSIZE (256ull << 20)

static const char *g_dir, *g_op;
static int g_threads;
static double g_seconds;
static char g_base[3000];
static int g_direct = -1;
static int g_list, g_changed;
static long g_entries = NFILES;
static size_t g_bs;
static pthread_barrier_t g_bar;

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *what, const char *path)
{
	int e = errno;
	printf("{\"op\":\"%s\",\"threads\":%d,\"error\":\"%s %s: %s\"}\n", g_op, g_threads, what, path ? path : "", strerror(e));
	fflush(stdout);
	_exit(1);
}

// log-linear histogram: 64 sub-buckets per power of two (1.6 % resolution)
#define SUB 64
#define NB (64 * SUB)
static inline unsigned bucket(uint64_t v)
{
	if (v < SUB) return (unsigned)v;
	unsigned l = 63 - __builtin_clzll(v), s = l - 6;
	return (s + 1) * SUB + (unsigned)((v >> s) - SUB);
}
static double bucket_mid(unsigned b)
{
	if (b < SUB) return b;
	unsigned s = b / SUB - 1, m = b % SUB;
	return ((double)(SUB + m) + 0.5) * (double)(1ull << s);
}

struct th {
	pthread_t t;
	int id;
	uint64_t ops, bytes, rng, t0, t1;
	uint32_t *h;
	int fd, a;
	char *buf;
	char dir[3100], p1[3200], p2[3200];
	uint64_t seg0, seg1, pos;
	uint64_t k;
};

static uint64_t rnd(struct th *t)
{
	uint64_t x = t->rng;
	x ^= x << 13; x ^= x >> 7; x ^= x << 17;
	return t->rng = x;
}

static char g_fpath[NFILES][3200];

static void mk(const char *p)
{
	if (mkdir(p, 0755) && errno != EEXIST) die("mkdir", p);
}

static void need_files(void)
{
	char d[3100];
	struct stat st;
	snprintf(d, sizeof d, "%s/files", g_base);
	mk(d);
	for (int i = 0; i < NFILES; i++) {
		snprintf(g_fpath[i], sizeof g_fpath[i], "%s/f%04d", d, i);
	}
	if (stat(g_fpath[NFILES - 1], &st) == 0) return;
	for (int i = 0; i < NFILES; i++) {
		int fd = open(g_fpath[i], O_CREAT | O_WRONLY, 0644);
		if (fd < 0) die("create", g_fpath[i]);
		if (close(fd)) die("close", g_fpath[i]);
	}
}

static void need_list(long n)
{
	char d[3100], p[3200];
	snprintf(d, sizeof d, "%s/list%ld", g_base, n);
	if (mkdir(d, 0755)) {
		if (errno != EEXIST) die("mkdir", d);
		return;	// op_readdir counts
	}
	for (long i = 0; i < n; i++) {
		snprintf(p, sizeof p, "%s/f%07ld", d, i);
		if (mknod(p, S_IFREG | 0644, 0)) die("mknod", p);
	}
}

static void need_big(const char *name, uint64_t size, char *out, size_t n)
{
	struct stat st;
	snprintf(out, n, "%s/%s", g_base, name);
	if (stat(out, &st) == 0 && (uint64_t)st.st_size == size) return;
	int fd = open(out, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (fd < 0) die("create", out);
	size_t bs = 1 << 20;
	char *b = malloc(bs);
	uint64_t x = 88172645463325252ull;
	for (size_t i = 0; i < bs / 8; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; ((uint64_t *)b)[i] = x; }
	for (uint64_t o = 0; o < size;) {
		ssize_t r = pwrite(fd, b, bs, o);
		if (r <= 0) die("write", out);
		o += r;
	}
	free(b);
	fdatasync(fd);	// may be ENOSYS on a small server
	if (close(fd)) die("close", out);
}

static char g_big[3200];

// ---- ops: each returns bytes moved ----
static uint64_t op_statfs(struct th *t)
{
	struct statfs s;
	if (statfs(g_dir, &s)) die("statfs", g_dir);
	return 0;
}
static uint64_t op_stat(struct th *t)
{
	struct stat s;
	const char *p = g_fpath[(t->k++ + (uint64_t)t->id * 251) % NFILES];
	if (fstatat(AT_FDCWD, p, &s, 0)) die("fstatat", p);
	return 0;
}
static uint64_t op_statx(struct th *t)
{
	struct statx s;
	const char *p = g_fpath[(t->k++ + (uint64_t)t->id * 251) % NFILES];
	if (statx(AT_FDCWD, p, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &s)) die("statx", p);
	return 0;
}
static uint64_t op_enoent(struct th *t)
{
	struct stat s;
	if (!fstatat(AT_FDCWD, t->p1, &s, 0) || errno != ENOENT) die("fstatat(not ENOENT)", t->p1);
	return 0;
}
static uint64_t op_open(struct th *t)
{
	const char *p = g_fpath[(t->k++ + (uint64_t)t->id * 251) % NFILES];
	int fd = open(p, O_RDONLY);
	if (fd < 0) die("open", p);
	if (close(fd)) die("close", p);
	return 0;
}
static uint64_t op_create(struct th *t)
{
	int fd = open(t->p1, O_CREAT | O_EXCL | O_WRONLY, 0644);
	if (fd < 0) die("open(O_CREAT|O_EXCL)", t->p1);
	if (close(fd)) die("close", t->p1);
	if (unlink(t->p1)) die("unlink", t->p1);
	return 0;
}
static uint64_t op_small(struct th *t)
{
	int fd = open(t->p1, O_CREAT | O_EXCL | O_WRONLY, 0644);
	if (fd < 0) die("open(O_CREAT|O_EXCL)", t->p1);
	static const char page[4096] = "small";
	if (write(fd, page, sizeof page) != sizeof page) die("write", t->p1);
	if (close(fd)) die("close", t->p1);
	if (unlink(t->p1)) die("unlink", t->p1);
	return 4096;
}
static uint64_t op_mkdir(struct th *t)
{
	if (mkdir(t->p1, 0755)) die("mkdir", t->p1);
	if (rmdir(t->p1)) die("rmdir", t->p1);
	return 0;
}
static uint64_t op_rename(struct th *t)
{
	const char *a = t->a ? t->p2 : t->p1, *b = t->a ? t->p1 : t->p2;
	if (rename(a, b)) die("rename", a);
	t->a ^= 1;
	return 0;
}
static uint64_t op_readdir(struct th *t)
{
	if (g_changed && (mknodat(t->fd, t->p2, S_IFREG | 0644, 0) || unlinkat(t->fd, t->p2, 0))) die("change", t->p2);
	DIR *d = t->fd < 0 ? opendir(t->p1) : fdopendir(openat(t->fd, ".", O_RDONLY | O_DIRECTORY));
	if (!d) die("opendir", t->p1);
	long n = 0;
	struct dirent *e;
	while (errno = 0, (e = readdir(d)))
		if (e->d_name[0] == 'f') n++;
	if (errno) die("readdir", t->p1);
	if (n != g_entries) { errno = EIO; die("readdir(count)", t->p1); }
	closedir(d);
	return 0;
}
static uint64_t op_read(struct th *t)
{
	ssize_t r = pread(t->fd, t->buf, g_bs, (off_t)(rnd(t) % (RWSIZE / g_bs)) * g_bs);
	if (r != (ssize_t)g_bs) die("pread", g_big);
	return r;
}
static uint64_t op_write(struct th *t)
{
	ssize_t r = pwrite(t->fd, t->buf, g_bs, (off_t)(rnd(t) % (RWSIZE / g_bs)) * g_bs);
	if (r != (ssize_t)g_bs) die("pwrite", g_big);
	return r;
}
static uint64_t op_seqread(struct th *t)
{
	if (t->pos >= t->seg1) {
		posix_fadvise(t->fd, t->seg0, t->seg1 - t->seg0, POSIX_FADV_DONTNEED);
		t->pos = t->seg0;
	}
	size_t n = g_bs;
	if (n > t->seg1 - t->pos) n = t->seg1 - t->pos;
	ssize_t r = pread(t->fd, t->buf, n, t->pos);
	if (r <= 0) die("pread", g_big);
	t->pos += r;
	return r;
}
static uint64_t op_seqwrite(struct th *t)
{
	if (t->pos >= t->seg1) t->pos = t->seg0;
	size_t n = g_bs;
	if (n > t->seg1 - t->pos) n = t->seg1 - t->pos;
	ssize_t r = pwrite(t->fd, t->buf, n, t->pos);
	if (r <= 0) die("pwrite", g_big);
	t->pos += r;
	return r;
}

static double cpu_s(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static uint64_t (*g_fn)(struct th *);

static void *worker(void *arg)
{
	struct th *t = arg;
	pthread_barrier_wait(&g_bar);
	uint64_t end = now_ns() + (uint64_t)(g_seconds * 1e9), a = now_ns(), b;
	t->t0 = a;
	do {
		t->bytes += g_fn(t);
		b = now_ns();
		t->h[bucket(b - a)]++;
		t->ops++;
		a = b;
	} while (b < end);
	t->t1 = b;
	return NULL;
}

static int rm_rf(const char *p)
{
	DIR *d = opendir(p);
	if (d) {
		struct dirent *e;
		char **names = NULL; size_t n = 0;
		while ((e = readdir(d))) {
			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
			names = realloc(names, (n + 1) * sizeof *names);
			names[n++] = strdup(e->d_name);
		}
		closedir(d);
		for (size_t i = 0; i < n; i++) {
			char q[4200];
			snprintf(q, sizeof q, "%s/%s", p, names[i]);
			if (unlink(q)) rm_rf(q);
			free(names[i]);
		}
		free(names);
		return rmdir(p);
	}
	return unlink(p);
}

int main(int argc, char **argv)
{
	if (argc != 5) { fprintf(stderr, "usage: metabench DIR OP THREADS SECONDS\n"); return 2; }
	g_dir = argv[1]; g_op = argv[2]; g_threads = atoi(argv[3]); g_seconds = atof(argv[4]);
	if (g_threads < 1 || g_threads > 256) return 2;
	snprintf(g_base, sizeof g_base, "%s/mb", g_dir);
	if (!strcmp(g_op, "clean")) { rm_rf(g_base); return 0; }
	mk(g_base);
	int io = 0, pertd = 0, flags = O_RDONLY;
	const char *o = g_op;
	int buffered = !strncmp(o, "buffered_", 9);
	if (buffered) o += 9;
	if (!strcmp(o, "statfs")) g_fn = op_statfs;
	else if (!strcmp(o, "stat")) g_fn = op_stat, need_files();
	else if (!strcmp(o, "statx_sync")) g_fn = op_statx, need_files();
	else if (!strcmp(o, "stat_enoent")) g_fn = op_enoent, pertd = 1;
	else if (!strcmp(o, "open_close")) g_fn = op_open, need_files();
	else if (!strcmp(o, "create_unlink")) g_fn = op_create, pertd = 1;
	else if (!strcmp(o, "small_file")) g_fn = op_small, pertd = 1;
	else if (!strcmp(o, "mkdir_rmdir")) g_fn = op_mkdir, pertd = 1;
	else if (!strcmp(o, "rename")) g_fn = op_rename, pertd = 1;
	else if (!strcmp(o, "readdir")) g_fn = op_readdir, need_files();
	else if ((!strncmp(o, "list", 4) && (g_entries = atol(o + 4)) > 0)
		|| (!strncmp(o, "changed", 7) && (g_changed = 1, g_entries = atol(o + 7)) > 0))
		g_fn = op_readdir, g_list = 1, need_list(g_entries);
	else if (!strcmp(o, "read4k") || !strcmp(o, "read1m")) g_fn = op_read, io = 1;
	else if (!strcmp(o, "write4k") || !strcmp(o, "write1m")) g_fn = op_write, io = 1, flags = O_RDWR;
	else if (!strncmp(o, "seqread", 7)) g_fn = op_seqread, io = 2;
	else if (!strncmp(o, "seqwrite", 8)) g_fn = op_seqwrite, io = 2, flags = O_RDWR;
	else { fprintf(stderr, "unknown op %s\n", o); return 2; }
	g_bs = strstr(o, "4k") ? 4096 : strstr(o, "128k") ? 128 << 10 : 1 << 20;
	if (io == 1) need_big("rw64m", RWSIZE, g_big, sizeof g_big);
	if (io == 2) need_big("seq256m", SEQSIZE, g_big, sizeof g_big);

	struct th *T = calloc(g_threads, sizeof *T);
	pthread_barrier_init(&g_bar, NULL, g_threads);
	for (int i = 0; i < g_threads; i++) {
		struct th *t = &T[i];
		t->id = i; t->fd = -1;
		t->rng = 0x9E3779B97F4A7C15ull * (i + 1) ^ now_ns();
		t->h = calloc(NB, sizeof *t->h);
		if (pertd) {
			if (getenv("MB_SHARED_DIR")) snprintf(t->dir, sizeof t->dir, "%s/shared", g_base);
			else snprintf(t->dir, sizeof t->dir, "%s/t%d", g_base, i);
			mk(t->dir);
			snprintf(t->p1, sizeof t->p1, "%s/x%d", t->dir, i);
			snprintf(t->p2, sizeof t->p2, "%s/y%d", t->dir, i);
			unlink(t->p1); unlink(t->p2); rmdir(t->p1); rmdir(t->p2);
			if (g_fn == op_rename) {
				int fd = open(t->p1, O_CREAT | O_WRONLY, 0644);
				if (fd < 0) die("create", t->p1);
				close(fd);
			}
		} else if (g_list) {
			snprintf(t->p1, sizeof t->p1, "%s/list%ld", g_base, g_entries);
			snprintf(t->p2, sizeof t->p2, "x%d", i);
		} else if (g_fn == op_readdir) snprintf(t->p1, sizeof t->p1, "%s/files", g_base);
		if (g_list) t->fd = open(t->p1, O_PATH | O_DIRECTORY);
		if (io) {
			if (posix_memalign((void **)&t->buf, 4096, 1 << 20)) return 2;
			memset(t->buf, 0x5a + i, 1 << 20);
			if (io == 1 && !buffered && !getenv("MB_NO_DIRECT")) {
				t->fd = open(g_big, flags | O_DIRECT);
				// O_DIRECT may be refused at open or only at the first I/O
				if (t->fd >= 0 && pread(t->fd, t->buf, 4096, 0) != 4096) { close(t->fd); t->fd = -1; }
				g_direct = t->fd >= 0;
			} else if (io == 1) g_direct = 0;
			if (t->fd < 0) t->fd = open(g_big, flags);
			if (t->fd < 0) die("open", g_big);
			if (io == 2) {
				t->seg0 = SEQSIZE / g_threads * i;
				t->seg1 = i == g_threads - 1 ? SEQSIZE : SEQSIZE / g_threads * (i + 1);
				t->pos = t->seg1;	// first op starts a pass
			}
			if (buffered)
				for (off_t at = 0; at < (off_t)RWSIZE; at += 1 << 20)
					if (pread(t->fd, t->buf, 1 << 20, at) != 1 << 20) die("pread", g_big);
			if (i == 0 && g_fn != op_seqwrite && !buffered) { fdatasync(t->fd); posix_fadvise(t->fd, 0, 0, POSIX_FADV_DONTNEED); }
		}
	}
	double cpu0 = cpu_s();
	for (int i = 0; i < g_threads; i++) pthread_create(&T[i].t, NULL, worker, &T[i]);
	uint64_t ops = 0, bytes = 0, t0 = ~0ull, t1 = 0, *h = calloc(NB, sizeof *h);
	for (int i = 0; i < g_threads; i++) {
		pthread_join(T[i].t, NULL);
		ops += T[i].ops; bytes += T[i].bytes;
		if (T[i].t0 < t0) t0 = T[i].t0;
		if (T[i].t1 > t1) t1 = T[i].t1;
		for (int b = 0; b < NB; b++) h[b] += T[i].h[b];
	}
	double cpu1 = cpu_s();
	double el = (t1 - t0) / 1e9, p50 = 0, p99 = 0;
	uint64_t c = 0;
	for (unsigned b = 0; b < NB; b++) {
		if (!h[b]) continue;
		uint64_t before = c;
		c += h[b];
		if (before * 2 < ops && c * 2 >= ops) p50 = bucket_mid(b) / 1e3;
		if (before * 100 < ops * 99 && c * 100 >= ops * 99) p99 = bucket_mid(b) / 1e3;
	}
	printf("{\"op\":\"%s\",\"threads\":%d,\"seconds\":%.3f,\"ops\":%llu,\"ops_per_s\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"mb_per_s\":%.1f",
	       g_op, g_threads, el, (unsigned long long)ops, ops / el, p50, p99, bytes / el / 1e6);
	printf(",\"client_cpu_us\":%.3f", (cpu1 - cpu0) * 1e6 / ops);	// user + system time of this process per op
	if (g_direct >= 0) printf(",\"direct\":%s", g_direct ? "true" : "false");
	printf("}\n");
	fflush(stdout);
	for (int i = 0; i < g_threads; i++) if (T[i].fd >= 0) close(T[i].fd);
	return 0;
}
