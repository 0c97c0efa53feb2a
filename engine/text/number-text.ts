// Numbers as printf writes them and as TensorFlow reads them. Digits are exact: a float is a whole
// number times a power of two, and is rounded once, to even.

/** Flags of a conversion, as in `%-08.3f`. */
export interface PrintFlags {
  /** One of ' ', '+', '-', '0', '#', or '' for none. */
  readonly flag: string
  /** At least so many characters; 0 or less: as many as it takes. */
  readonly width: number
}

/** A text with its sign, padded as the flags say. */
function finished(digits: string, isNegative: boolean, { flag, width }: PrintFlags): string {
  const sign = isNegative ? '-' : flag === '+' ? '+' : flag === ' ' ? ' ' : ''
  if (flag === '0') return sign + digits.padStart(width - sign.length, '0')
  return padded(sign + digits, { flag, width })
}

/** A text padded with spaces: before it, or behind where the flag is `-`. */
export function padded(text: string, { flag, width }: PrintFlags): string {
  return flag === '-' ? text.padEnd(width) : text.padStart(width)
}

/** `%d`. */
export function formatWhole(value: bigint, flags: PrintFlags): string {
  return finished(String(value < 0n ? -value : value), value < 0n, flags)
}

/** Whole number and power of two that make the value, which is finite and not negative. */
function partsOf(value: number): readonly [bigint, number] {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const exponent = Number((bits >> 52n) & 0x7ffn)
  const fraction = bits & ((1n << 52n) - 1n)
  return exponent === 0 ? [fraction, -1074] : [fraction | (1n << 52n), exponent - 1075]
}

/** `value * 10^power` as the nearest whole number, a tie to even. */
function scaled(value: number, power: number): bigint {
  const [whole, exponent] = partsOf(value)
  let numerator = whole
  let denominator = 1n
  if (exponent >= 0) numerator <<= BigInt(exponent)
  else denominator <<= BigInt(-exponent)
  if (power >= 0) numerator *= 10n ** BigInt(power)
  else denominator *= 10n ** BigInt(-power)
  const quotient = numerator / denominator
  const twice = 2n * (numerator - quotient * denominator)
  const isUp = twice > denominator || (twice === denominator && quotient % 2n === 1n)
  return isUp ? quotient + 1n : quotient
}

function fixed(value: number, precision: number, keepsPoint: boolean): string {
  const digits = String(scaled(value, precision)).padStart(precision + 1, '0')
  const point = precision > 0 || keepsPoint ? '.' : ''
  return (
    digits.slice(0, digits.length - precision) + point + digits.slice(digits.length - precision)
  )
}

/** Digits (one before the point) and exponent. */
function exponential(value: number, precision: number): readonly [string, number] {
  if (value === 0) return ['0'.repeat(precision + 1), 0]
  let exponent = Math.floor(Math.log10(value))
  let digits = String(scaled(value, precision - exponent))
  // The logarithm may be off by one, and rounding may add a digit.
  while (digits.length !== precision + 1) {
    exponent += digits.length > precision + 1 ? 1 : -1
    digits = String(scaled(value, precision - exponent))
  }
  return [digits, exponent]
}

function scientific(value: number, precision: number, keepsPoint: boolean): string {
  const [digits, exponent] = exponential(value, precision)
  const point = precision > 0 || keepsPoint ? '.' : ''
  const size = String(Math.abs(exponent)).padStart(2, '0')
  return `${digits[0]}${point}${digits.slice(1)}e${exponent < 0 ? '-' : '+'}${size}`
}

function shortest(value: number, precision: number, keepsZeros: boolean): string {
  const wanted = Math.max(precision, 1)
  const [, exponent] = exponential(value, wanted - 1)
  const isFixed = exponent < wanted && exponent >= -4
  const text = isFixed
    ? fixed(value, wanted - 1 - exponent, keepsZeros)
    : scientific(value, wanted - 1, keepsZeros)
  if (keepsZeros || !text.includes('.')) return text
  return isFixed ? text.replace(/\.?0+$/, '') : text.replace(/\.?0+e/, 'e')
}

/** `%f`, `%e` or `%g`; a negative precision is 6. */
export function formatFloat(
  value: number,
  conversion: 'f' | 'e' | 'g',
  precision: number,
  flags: PrintFlags,
): string {
  const isNegative = value < 0 || Object.is(value, -0)
  const size = Math.abs(value)
  if (!Number.isFinite(value)) {
    const spaced = flags.flag === '0' ? { ...flags, flag: '' } : flags
    return finished(Number.isNaN(value) ? 'nan' : 'inf', isNegative, spaced)
  }
  const digits = precision < 0 ? 6 : precision
  const keeps = flags.flag === '#'
  const write = { f: fixed, e: scientific, g: shortest }[conversion]
  return finished(write(size, digits, keeps), isNegative, flags)
}

/**
 * The number that a text says, undefined where it says none: decimal or hexadecimal with spaces around,
 * `inf`, `infinity` and `nan` in any case.
 */
export function parseFloatText(text: string): number | undefined {
  const trimmed = text.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '')
  const special = /^([+-]?)(inf(?:inity)?|nan)$/i.exec(trimmed)
  if (special !== null) {
    const value = special[2][0].toLowerCase() === 'n' ? Number.NaN : Number.POSITIVE_INFINITY
    return special[1] === '-' ? -value : value
  }
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed)) return Number(trimmed)
  const hexadecimal = /^([+-]?)0x([0-9a-f]+)$/i.exec(trimmed)
  if (hexadecimal === null) return undefined
  const value = Number(`0x${hexadecimal[2]}`)
  return hexadecimal[1] === '-' ? -value : value
}
