// Which of the media types on offer a request wants. Source: RFC 9110, section 12.5.1.
import { Refusal } from '../tensor/index.ts'

interface Range {
  readonly type: string
  readonly quality: number
}

/**
 * The offer that `accept` prefers; the first one where it is absent or leaves the choice. Refuses
 * (`http/not-acceptable`) where it wants none of them.
 */
export function chooseType<Offer extends string>(
  accept: string | undefined,
  offers: readonly Offer[],
): Offer {
  if (accept === undefined || accept === '*/*') return offers[0]
  for (const offer of offers) if (accept === offer) return offer
  const ranges = accept.split(',').map(parseRange)
  let best: { readonly offer: Offer; readonly quality: number } | undefined
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges)
    if (quality > 0 && (best === undefined || quality > best.quality)) best = { offer, quality }
  }
  if (best !== undefined) return best.offer
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/not-acceptable',
    `The reply can be ${offers.join(', ')}; accept asks for ${accept}.`,
    { fix: `Ask for ${offers.length === 1 ? 'that' : 'one of these'}, or leave accept out.` },
  )
}

function parseRange(text: string): Range {
  const [type, ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const given = parameters.find((parameter) => parameter.startsWith('q='))
  const quality = given === undefined ? 1 : Number(given.slice(2))
  return { type, quality: Number.isFinite(quality) ? quality : 0 }
}

/** The quality of the most specific range that covers the offer; 0 where none does. */
function qualityOf(offer: string, ranges: readonly Range[]): number {
  const family = `${offer.slice(0, offer.indexOf('/'))}/*`
  for (const wanted of [offer, family, '*/*']) {
    const range = ranges.find(({ type }) => type === wanted)
    if (range !== undefined) return range.quality
  }
  return 0
}
