// Lists of the store, read page by page to their end.
import type { Page, PageRequest } from '../store/index.ts'
import type { Context } from './context.ts'

/** The items of each page of a list of which `read` gives a page. */
export async function* everyPage<Item>(
  { limits }: Pick<Context, 'limits'>,
  read: (page: PageRequest) => Promise<Page<Item>>,
): AsyncGenerator<readonly Item[]> {
  let cursor: string | undefined
  do {
    const page: Page<Item> = await read({ limit: limits.pageEntries, cursor })
    yield page.items
    cursor = page.cursor
  } while (cursor !== undefined)
}

/** Every item of such a list; no more than a page of them is held. */
export async function* everyItem<Item>(
  context: Pick<Context, 'limits'>,
  read: (page: PageRequest) => Promise<Page<Item>>,
): AsyncGenerator<Item> {
  for await (const items of everyPage(context, read)) yield* items
}
