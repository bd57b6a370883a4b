/** Linux error names that iommufd and its drivers return; '0' is success. */
export type Errno =
  | '0'
  | 'EPERM'
  | 'ENOENT'
  | 'EIO'
  | 'ENXIO'
  | 'E2BIG'
  | 'EBADF'
  | 'ENOMEM'
  | 'EFAULT'
  | 'EBUSY'
  | 'EEXIST'
  | 'ENODEV'
  | 'EINVAL'
  | 'EMFILE'
  | 'ENOTTY'
  | 'ENOSPC'
  | 'ESPIPE'
  | 'ERANGE'
  | 'EDEADLK'
  | 'EOVERFLOW'
  | 'EBADFD'
  | 'EMSGSIZE'
  | 'EOPNOTSUPP'
  | 'EADDRINUSE'
  | 'ETIMEDOUT';

/** A value or the reason why there is none. */
export type Result<T> = { readonly errno: '0'; readonly value: T } | { readonly errno: Exclude<Errno, '0'> };

export const ok = <T>(value: T): Result<T> => ({ errno: '0', value });
export const fail = <T>(errno: Exclude<Errno, '0'>): Result<T> => ({ errno });
