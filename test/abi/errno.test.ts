/** The shared errors: one frozen object each, without a stack; and what a failed system call throws. */
import { describe, expect, test } from 'vitest';
import * as module from '../../src/abi/errno.ts';
import { EAGAIN, EIO, ENOENT, Errno, errno, errnoNamed, errnos, SystemError } from '../../src/abi/errno.ts';

describe('a shared Errno', () => {
  test.each([...errnos])('%s is exported under its name, frozen, found by name and number', (name, error) => {
    expect((module as Record<string, unknown>)[name]).toBe(error);
    expect(Object.isFrozen(error)).toBe(true);
    expect(errnoNamed(name)).toBe(error);
    expect(errno(error.errno)).toBe(error);
  });

  test('is an Error with a name, a code, a number and a message', () => {
    expect(ENOENT).toBeInstanceOf(Error);
    expect(ENOENT).toBeInstanceOf(Errno);
    expect(ENOENT.name).toBe('Errno');
    expect(ENOENT).toMatchObject({ code: 'ENOENT', errno: 2, message: 'no such file or directory' });
  });

  test('has captured no stack: one line, which names no file', () => {
    expect(ENOENT.stack).toMatch(/^Err(or|no): no such file or directory$/);
  });

  test('is the same object each time it is thrown, and stays so', () => {
    const thrown = [1, 2].map(() => {
      try {
        throw ENOENT;
      } catch (error) {
        return error;
      }
    });
    expect(thrown[0]).toBe(ENOENT);
    expect(thrown[1]).toBe(ENOENT);
    expect(() => Object.assign(ENOENT, { message: 'mine' })).toThrow(TypeError);
    expect(() => Object.assign(ENOENT, { path: '/a' })).toThrow(TypeError);
  });

  test('leaves the limit of stacks as it was', () => {
    expect(Error.stackTraceLimit).toBeGreaterThan(0);
    expect(new Error('mine').stack!.split('\n').length).toBeGreaterThan(1);
  });

  test('with a second name is one object, known by the first', () => {
    expect(errnoNamed('EWOULDBLOCK')).toBe(EAGAIN);
    expect(EAGAIN.code).toBe('EAGAIN');
  });

  test('of an unknown number is EIO, and of an unknown name nothing', () => {
    expect([0, -2, 41, 134, 512, 1.5, NaN].map(errno)).toEqual(Array(7).fill(EIO));
    expect(['ENONE', 'enoent', '', 'constructor'].map(errnoNamed)).toEqual(Array(4).fill(undefined));
  });
});

describe('SystemError', () => {
  const error = new SystemError(2, 'openat');

  test('is an Errno of its own that names the call', () => {
    expect(error).toBeInstanceOf(Errno);
    expect(error).not.toBe(ENOENT);
    expect(error.name).toBe('SystemError');
    expect(error).toMatchObject({ code: 'ENOENT', errno: 2, syscall: 'openat' });
    expect(error.message).toBe('openat: no such file or directory');
  });

  test('has the stack of where it was made', () => {
    expect(error.stack).toContain('errno.test.ts');
  });

  test('of a number that has no name is EIO, with the number in the message', () => {
    expect(new SystemError(524, 'flock')).toMatchObject({ code: 'EIO', errno: 5, message: 'flock: error 524' });
  });
});
