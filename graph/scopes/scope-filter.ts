// The regular expressions that filter collections. How they are matched is pattern.ts's.
import { patternOf } from '../pattern.ts'

/**
 * Whether a text begins with a match of `pattern`, as a function of the text. Refuses (INVALID_ARGUMENT,
 * `collection/scope`) what {@link patternOf} refuses.
 */
export function scopeFilter(pattern: string): (text: string) => boolean {
  return patternOf(pattern, {
    reason: 'collection/scope',
    purpose: 'cannot filter a collection by scope',
    fix: 'Give the first characters of the names, or a regular expression.',
  }).begins
}
