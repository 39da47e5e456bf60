/**
 * Calls the functions that a caller of this package has passed in.
 *
 * @module
 */

/**
 * Calls a callback. Whatever it throws, or rejects with, is dropped: it is not the client's problem,
 * and must not end the process.
 *
 * @param callback What to call, if there is something.
 * @param value Its argument.
 */
export async function notify<T>(
  callback: ((value: T) => unknown) | undefined,
  value: T,
): Promise<void> {
  try {
    await callback?.(value);
  } catch {
    // It is dropped.
  }
}
