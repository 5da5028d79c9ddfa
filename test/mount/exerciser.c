// exerciser DIR SEED OPERATIONS [exact]: reads and writes a few files in every way there is, beside a model in memory.
//
// cc -O2 -Wall -Wextra -o exerciser exerciser.c
//
// One thread does one thing after another to three files: reads and writes through the page cache, past it
// (O_DIRECT) and through a mapping that stays, truncates, allocates, punches, zeroes, copies between files, asks
// for data and holes, opens anew, and drops the cache so that what is read next comes from the filesystem. After
// each operation what it gave must be what the model has: for each file its bytes, and for each page of it
// whether it must be data or a hole. With "exact" holes are asked for as exactly as that; without it only that no
// hole covers a byte that is not zero, which is all that Linux promises.
//
// What a mapping wrote counts as written when it was synced: FUSE answers SEEK_DATA from the server without
// writing dirty pages back first (fs/fuse/file.c: fuse_lseek), so holes are asked for after msync(2) alone. What is
// mapped behind the end of a file is left alone: whether it comes back when the file grows is nobody's promise.
//
// At the first difference it prints the seed, the operation's number, what differs, and the operations before.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 3
#define MOST (768 << 10) // bytes in a file
#define LONGEST (300 << 10) // bytes in one operation: more than a request holds
#define PAGE 4096
#define PAGES (MOST / PAGE)
#define SECTOR 512 // what O_DIRECT is aligned to
#define KEPT 20 // operations to print

enum { HOLE, DATA, EITHER };

struct file {
	char path[4096];
	int fd, direct;
	unsigned char *map; // the whole file, and what may become of it
	unsigned char *bytes; // the model: zeros behind `size`
	unsigned char page[PAGES]; // HOLE, DATA, EITHER
	int dirty; // written through the mapping and not synced
	long size;
};

static struct file files[FILES];
static unsigned char *buffer;
static uint64_t state;
static const char *seed;
static long number;
static int exact;
static char done[KEPT][200];

// SplitMix64: one word of state, any seed is a good one. Vigna, https://prng.di.unimi.it/splitmix64.c
static uint64_t next(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}
static long below(long n)
{
	return (long)(next() % (uint64_t)n);
}

static void note(const char *format, ...)
{
	char *line = done[number % KEPT];
	int used = snprintf(line, sizeof done[0], "%ld: ", number);
	va_list args;
	va_start(args, format);
	vsnprintf(line + used, sizeof done[0] - used, format, args);
	va_end(args);
}

__attribute__((noreturn)) static void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "SEED=%s operation %ld: ", seed, number);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	for (long i = number < KEPT ? 0 : number - KEPT + 1; i <= number; i++)
		fprintf(stderr, "  %s\n", done[i % KEPT]);
	exit(1);
}
static void must(long result, const char *what)
{
	if (result < 0)
		fail("%s: %s", what, strerror(errno));
}

static const char *name(const struct file *f)
{
	return strrchr(f->path, '/') + 1;
}

// A place in a file: anywhere, or at a page's edge and one byte before or behind it.
static long place(long most)
{
	long at = below(most);
	if (below(3) == 0)
		at = at / PAGE * PAGE + below(3) - 1;
	return at < 0 ? 0 : at;
}
// A length: short ones as often as long ones.
static long length(long most)
{
	long bits = 1L << (1 + below(19));
	long n = 1 + below(bits < most ? bits : most);
	if (n > PAGE && below(3) == 0)
		n = n / PAGE * PAGE;
	return n < most ? n : most;
}

// New bytes. No zeros: a hole in them shows.
static void fill(unsigned char *at, long n)
{
	for (long i = 0; i < n; i += 8) {
		uint64_t word = next() | 0x0101010101010101;
		memcpy(at + i, &word, n - i < 8 ? n - i : 8);
	}
}

static void mark(struct file *f, long at, long n, int what)
{
	for (long p = at / PAGE; n > 0 && p <= (at + n - 1) / PAGE; p++)
		f->page[p] = what;
}
// The model's write.
static void put(struct file *f, long at, const unsigned char *from, long n)
{
	memcpy(f->bytes + at, from, n);
	mark(f, at, n, DATA);
	if (at + n > f->size)
		f->size = at + n;
}
// The model's truncate.
static void cut(struct file *f, long size)
{
	if (size < f->size) {
		memset(f->bytes + size, 0, f->size - size);
		for (long p = (size + PAGE - 1) / PAGE; p < PAGES; p++)
			f->page[p] = HOLE;
	}
	f->size = size;
}

static void compare(struct file *f, const unsigned char *got, long at, long n, const char *how)
{
	if (memcmp(got, f->bytes + at, n) == 0)
		return;
	long i = 0, wrong = 0;
	while (got[i] == f->bytes[at + i])
		i++;
	for (long j = i; j < n; j++)
		wrong += got[j] != f->bytes[at + j];
	fail("%s: %s of %ld bytes at %ld: byte %ld (0x%lx) is %02x, not %02x; %ld differ; size %ld", name(f), how, n, at,
	     at + i, at + i, got[i], f->bytes[at + i], wrong, f->size);
}

static void checkSize(struct file *f)
{
	struct stat s, named;
	must(fstat(f->fd, &s), "fstat");
	must(stat(f->path, &named), "stat");
	if (s.st_size != f->size || named.st_size != f->size)
		fail("%s: size %ld by descriptor, %ld by name, not %ld", name(f), (long)s.st_size, (long)named.st_size, f->size);
}

static void sync_(struct file *f)
{
	must(msync(f->map, MOST, MS_SYNC), "msync");
	f->dirty = 0;
}

static void openFile(struct file *f, int flags)
{
	must(f->fd = open(f->path, O_RDWR | O_CREAT | flags, 0600), "open");
	must(f->direct = open(f->path, O_RDWR | O_DIRECT), "open O_DIRECT");
	f->map = mmap(NULL, MOST, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (f->map == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
}
static void closeFile(struct file *f)
{
	must(munmap(f->map, MOST), "munmap");
	must(close(f->direct), "close");
	must(close(f->fd), "close");
}

// From here on the operations.

// Reads: what comes is as long as the file has it, and no longer.
static void got(struct file *f, long n, long at, long asked, const char *how)
{
	long there = f->size - at < 0 ? 0 : f->size - at < asked ? f->size - at : asked;
	must(n, how);
	if (n != there)
		fail("%s: %s at %ld gave %ld of %ld bytes, not %ld", name(f), how, at, n, asked, there);
	compare(f, buffer, at, n, how);
}
static void doRead(struct file *f)
{
	long at = place(MOST), n = length(LONGEST);
	note("read %s %ld +%ld", name(f), at, n);
	got(f, pread(f->fd, buffer, n, at), at, n, "read");
}
static void doReadv(struct file *f)
{
	long at = place(MOST), n = length(LONGEST), first = below(n);
	struct iovec parts[2] = { { buffer, first }, { buffer + first, n - first } };
	note("readv %s %ld +%ld, %ld first", name(f), at, n, first);
	got(f, preadv(f->fd, parts, 2, at), at, n, "readv");
}
static void doReadDirect(struct file *f)
{
	long at = place(MOST) / SECTOR * SECTOR, n = (length(LONGEST) + SECTOR - 1) / SECTOR * SECTOR;
	note("direct read %s %ld +%ld", name(f), at, n);
	got(f, pread(f->direct, buffer, n, at), at, n, "direct read");
}
static void doReadSpliced(struct file *f)
{
	long at = place(MOST), n = length(32 << 10), in = 0;
	int ends[2];
	note("splice %s %ld +%ld", name(f), at, n);
	must(pipe(ends), "pipe");
	for (loff_t from = at; in < n;) {
		long piece = splice(f->fd, &from, ends[1], NULL, n - in, 0);
		must(piece, "splice");
		if (piece == 0)
			break;
		for (long end = in + piece; in < end;) {
			piece = read(ends[0], buffer + in, end - in);
			must(piece, "read of a pipe");
			in += piece;
		}
	}
	close(ends[0]);
	close(ends[1]);
	got(f, in, at, n, "splice");
}
static void doReadMapped(struct file *f)
{
	if (f->size == 0)
		return note("mapped read %s: empty", name(f));
	long at = below(f->size), n = length(f->size - at);
	note("mapped read %s %ld +%ld", name(f), at, n);
	compare(f, f->map + at, at, n, "mapped read");
	// tmpfs gives a page to what a mapping reads; so without `exact` nothing is known of it.
	for (long p = at / PAGE; !exact && p <= (at + n - 1) / PAGE; p++)
		f->page[p] = EITHER;
}

static void wrote(struct file *f, long n, long at, long asked, const char *how)
{
	must(n, how);
	if (n != asked)
		fail("%s: %s at %ld took %ld of %ld bytes", name(f), how, at, n, asked);
	put(f, at, buffer, n);
	checkSize(f);
}
static void doWrite(struct file *f)
{
	long at = place(MOST), n = length(MOST - at < LONGEST ? MOST - at : LONGEST);
	note("write %s %ld +%ld", name(f), at, n);
	fill(buffer, n);
	wrote(f, pwrite(f->fd, buffer, n, at), at, n, "write");
}
static void doWritev(struct file *f)
{
	long at = place(MOST), n = length(MOST - at < LONGEST ? MOST - at : LONGEST), first = below(n);
	struct iovec parts[2] = { { buffer, first }, { buffer + first, n - first } };
	note("writev %s %ld +%ld, %ld first", name(f), at, n, first);
	fill(buffer, n);
	wrote(f, pwritev(f->fd, parts, 2, at), at, n, "writev");
}
static void doAppend(struct file *f)
{
	long n = length(8192), at = f->size;
	if (at + n > MOST)
		return note("append %s: full", name(f));
	note("append %s +%ld at %ld", name(f), n, at);
	fill(buffer, n);
	int fd = open(f->path, O_WRONLY | O_APPEND);
	must(fd, "open O_APPEND");
	long result = write(fd, buffer, n);
	must(close(fd), "close");
	wrote(f, result, at, n, "append");
}
static void doWriteDirect(struct file *f)
{
	long at = place(MOST) / SECTOR * SECTOR, most = MOST - at < LONGEST ? MOST - at : LONGEST;
	long n = (length(most) + SECTOR - 1) / SECTOR * SECTOR;
	note("direct write %s %ld +%ld", name(f), at, n);
	fill(buffer, n);
	wrote(f, pwrite(f->direct, buffer, n, at), at, n, "direct write");
}
static void doWriteMapped(struct file *f)
{
	if (f->size == 0)
		return note("mapped write %s: empty", name(f));
	long at = below(f->size), n = length(f->size - at < 64 << 10 ? f->size - at : 64 << 10);
	note("mapped write %s %ld +%ld", name(f), at, n);
	fill(buffer, n);
	memcpy(f->map + at, buffer, n);
	put(f, at, buffer, n);
	f->dirty = 1;
	if (below(4) == 0)
		sync_(f);
}

static void doTruncate(struct file *f)
{
	long size = below(8) == 0 ? 0 : place(MOST);
	note("truncate %s from %ld to %ld", name(f), f->size, size);
	must(below(2) ? ftruncate(f->fd, size) : truncate(f->path, size), "truncate");
	cut(f, size);
	checkSize(f);
}

// What is allocated is a hole still: it reads as zeros, and nothing was written to it.
static void doAllocate(struct file *f)
{
	int keep = below(2) ? FALLOC_FL_KEEP_SIZE : 0;
	long at = place(MOST), n = length(MOST - at < LONGEST ? MOST - at : LONGEST);
	note("fallocate %s %ld +%ld%s", name(f), at, n, keep ? " KEEP_SIZE" : "");
	must(fallocate(f->fd, keep, at, n), "fallocate");
	if (!keep && at + n > f->size)
		f->size = at + n;
	checkSize(f);
}
static void zeros(struct file *f, int mode, const char *how)
{
	long at = place(MOST), n = length(MOST - at < LONGEST ? MOST - at : LONGEST), end = at + n;
	note("%s %s %ld +%ld%s", how, name(f), at, n, mode & FALLOC_FL_KEEP_SIZE ? " KEEP_SIZE" : "");
	must(fallocate(f->fd, mode, at, n), how);
	memset(f->bytes + at, 0, n);
	for (long p = (at + PAGE - 1) / PAGE; p < end / PAGE; p++)
		f->page[p] = HOLE;
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > f->size)
		f->size = end;
	checkSize(f);
}
static void doPunch(struct file *f)
{
	zeros(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch");
}
static int zeroing; // whether the filesystem has ZERO_RANGE
static void doZero(struct file *f)
{
	if (!zeroing)
		return note("zero: not here");
	zeros(f, FALLOC_FL_ZERO_RANGE | (below(2) ? FALLOC_FL_KEEP_SIZE : 0), "zero");
}

static void doCopy(struct file *f)
{
	struct file *to = &files[below(FILES)];
	loff_t from = place(MOST), at = place(MOST), n = length(MOST - at < LONGEST ? MOST - at : LONGEST);
	if (to == f && from < at + n && at < from + n)
		return note("copy in %s: overlaps", name(f));
	long there = f->size - from < 0 ? 0 : f->size - from < n ? f->size - from : n;
	note("copy %s %ld to %s %ld +%ld (%ld there)", name(f), (long)from, name(to), (long)at, (long)n, there);
	long all = 0;
	for (loff_t i = from, o = at; all < there;) {
		long some = copy_file_range(f->fd, &i, to->fd, &o, there - all, 0);
		must(some, "copy_file_range");
		if (some == 0 || some > there - all)
			fail("copy_file_range gave %ld of %ld", some, there - all);
		all += some;
	}
	if (there == 0)
		return;
	put(to, at, f->bytes + from, there);
	// Whether a hole is copied as one is the filesystem's affair.
	mark(to, at, there, EITHER);
	checkSize(to);
}

// Data where the model has bytes that are not zero; exactly the model's pages where that is asked for.
static int isData(const struct file *f, long p)
{
	long n = f->size - p * PAGE < PAGE ? f->size - p * PAGE : PAGE;
	const unsigned char *at = f->bytes + p * PAGE;
	if (exact && f->page[p] != EITHER)
		return f->page[p];
	for (long i = 0; i < n; i++)
		if (at[i])
			return DATA;
	return EITHER;
}
static void doSeek(struct file *f)
{
	int data = below(2);
	long at = place(MOST);
	if (f->dirty)
		sync_(f);
	note("SEEK_%s %s %ld", data ? "DATA" : "HOLE", name(f), at);
	long found = lseek(f->fd, at, data ? SEEK_DATA : SEEK_HOLE);
	if (at >= f->size) {
		if (found != -1 || errno != ENXIO)
			fail("%s: behind the end (%ld) it gave %ld", name(f), f->size, found);
		return;
	}
	if (found < 0 && !(data && errno == ENXIO))
		fail("%s: %s", name(f), strerror(errno));
	long end = found < 0 ? f->size : found; // up to here there is none
	if (end < at || end > f->size)
		fail("%s: found at %ld, size %ld", name(f), found, f->size);
	if (data) {
		for (long i = at; i < end; i++)
			if (f->bytes[i])
				fail("%s: no data before %ld, but at %ld", name(f), end, i);
		for (long p = at / PAGE; end > at && p * PAGE < end; p++)
			if (isData(f, p) == DATA && (p > at / PAGE || exact))
				fail("%s: no data before %ld, but page %ld is data", name(f), end, p);
		if (end < f->size && isData(f, end / PAGE) == HOLE)
			fail("%s: data at %ld, where a hole is", name(f), end);
		return;
	}
	for (long p = at / PAGE; end > at && p * PAGE < end; p++)
		if (exact && isData(f, p) == HOLE)
			fail("%s: no hole before %ld, but page %ld is one", name(f), end, p);
	if (end < f->size && f->bytes[end])
		fail("%s: a hole at %ld, where %02x is", name(f), end, f->bytes[end]);
	if (end < f->size && exact && isData(f, end / PAGE) == DATA)
		fail("%s: a hole at %ld, where data is", name(f), end);
}

static void doSync(struct file *f)
{
	long how = below(3);
	note("%s %s", how == 0 ? "fsync" : how == 1 ? "fdatasync" : "msync", name(f));
	if (how < 2)
		must(how ? fdatasync(f->fd) : fsync(f->fd), "fsync");
	else
		sync_(f);
}
// Drops the cache; first its pages from the mapping, for mapped ones stay.
static void forget(struct file *f)
{
	sync_(f);
	must(madvise(f->map, MOST, MADV_DONTNEED), "madvise");
	int error = posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (error)
		fail("posix_fadvise: %s", strerror(error));
}
static void doForget(struct file *f)
{
	note("forget the cache of %s", name(f));
	forget(f);
}
static void doReopen(struct file *f)
{
	int trunc = below(8) == 0 ? O_TRUNC : 0;
	note("open %s anew%s", name(f), trunc ? " O_TRUNC" : "");
	closeFile(f);
	openFile(f, trunc);
	if (trunc)
		cut(f, 0);
	checkSize(f);
}
// A new file instead, by rename: what is mapped and open of the old one goes.
static void doReplace(struct file *f)
{
	char path[4200];
	snprintf(path, sizeof path, "%s.new", f->path);
	note("replace %s", name(f));
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	must(fd, "open O_EXCL");
	fill(buffer, 3 * PAGE / 2);
	if (write(fd, buffer, 3 * PAGE / 2) != 3 * PAGE / 2)
		fail("a new file takes no bytes: %s", strerror(errno));
	must(close(fd), "close");
	must(rename(path, f->path), "rename");
	closeFile(f);
	openFile(f, 0);
	cut(f, 0);
	put(f, 0, buffer, 3 * PAGE / 2);
	f->dirty = 0;
	checkSize(f);
}

static const struct {
	int weight;
	void (*act)(struct file *);
} operations[] = {
	{ 12, doRead }, { 3, doReadv }, { 6, doReadDirect }, { 3, doReadSpliced }, { 8, doReadMapped },
	{ 14, doWrite }, { 3, doWritev }, { 3, doAppend }, { 6, doWriteDirect }, { 10, doWriteMapped },
	{ 8, doTruncate }, { 4, doAllocate }, { 5, doPunch }, { 5, doZero }, { 5, doCopy },
	{ 10, doSeek }, { 4, doSync }, { 4, doForget }, { 2, doReopen }, { 1, doReplace },
};

static void act(void)
{
	long all = 0, chosen;
	size_t count = sizeof operations / sizeof operations[0], i = 0;
	for (size_t j = 0; j < count; j++)
		all += operations[j].weight;
	for (chosen = below(all); chosen >= operations[i].weight; i++)
		chosen -= operations[i].weight;
	operations[i].act(&files[below(FILES)]);
}

// Everything, from the filesystem.
static void compareAll(void)
{
	for (struct file *f = files; f < files + FILES; f++) {
		forget(f);
		checkSize(f);
		for (long at = 0; at < f->size;) {
			long n = pread(f->fd, buffer, LONGEST, at);
			if (n <= 0)
				fail("%s: read at %ld of %ld: %ld", name(f), at, f->size, n);
			compare(f, buffer, at, n, "last look");
			at += n;
		}
	}
}

int main(int count, char **args)
{
	if (count < 4) {
		fprintf(stderr, "exerciser DIR SEED OPERATIONS [exact]\n");
		return 2;
	}
	seed = args[2];
	state = strtoull(seed, NULL, 10);
	exact = count > 4 && strcmp(args[4], "exact") == 0;
	long most = strtol(args[3], NULL, 10);
	buffer = aligned_alloc(PAGE, LONGEST + PAGE);
	for (int i = 0; i < FILES; i++) {
		snprintf(files[i].path, sizeof files[i].path, "%s/file%d", args[1], i);
		files[i].bytes = calloc(1, MOST + PAGE);
		openFile(&files[i], O_TRUNC);
	}
	zeroing = fallocate(files[0].fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE) == 0;
	for (number = 0; number < most; number++) {
		act();
		if (number % 1000 == 999)
			compareAll();
	}
	compareAll();
	printf("%ld operations%s\n", most, zeroing ? "" : ", without ZERO_RANGE");
	return 0;
}
