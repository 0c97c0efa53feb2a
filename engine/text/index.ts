// What ops on strings need: fingerprints, regular expressions, printf's numbers, code points.
export { fingerprint64 } from './farmhash.ts'
export { hash64, sipHash } from './hash.ts'
export { type Match, Matcher } from './matcher.ts'
export { formatFloat, formatWhole, type PrintFlags, padded, parseFloatText } from './number-text.ts'
export { type Pattern, PatternError, parsePattern } from './pattern.ts'
export { codesOf, invalidByte } from './utf8.ts'
