/**
 * Calls the callbacks that users of this package pass in.
 *
 * @module
 */

/**
 * Calls a callback. Errors that it throws, or rejects with, are ignored: they must not affect the
 * client or end the process.
 *
 * @param callback The callback, if there is one.
 * @param value Its argument.
 */
export async function notify<T>(
  callback: ((value: T) => unknown) | undefined,
  value: T,
): Promise<void> {
  try {
    await callback?.(value);
  } catch {
    // The error is ignored.
  }
}
