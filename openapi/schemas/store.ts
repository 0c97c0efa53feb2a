// Schemas of the store as a whole. A schema with a title becomes a component of the OpenAPI document;
// routes validate with these very objects.
import { Type } from 'typebox'

/** What the store takes on the disk. */
export const StoreUse = Type.Object(
  {
    writable: Type.Boolean(),
    reason: Type.Union([Type.String(), Type.Null()], { description: 'Why it is not writable.' }),
    disk_bytes: Type.Integer({ description: 'Catalogue and packs, without logs and the spool.' }),
    catalogue_bytes: Type.Integer({ description: 'Names, versions, and values of up to 64 KiB.' }),
    catalogue_free_bytes: Type.Integer({
      description: 'Of these, bytes that hold nothing now and are used again first.',
    }),
    pack_count: Type.Integer(),
    pack_bytes: Type.Integer({ description: 'Files with the chunks of larger values.' }),
    pack_live_bytes: Type.Integer({
      description:
        'Of these, bytes that something names; packs that are mostly dead are rewritten.',
    }),
    loose_bytes: Type.Integer({ description: 'Chunks that wait in the catalogue for a pack.' }),
    sequence: Type.Integer({ description: 'Number of the last commit.' }),
  },
  { title: 'StoreUse' },
)

/** What a sweep freed. */
export const Swept = Type.Object(
  {
    values: Type.Integer(),
    chunks: Type.Integer(),
    packs: Type.Integer({ description: 'Files that were removed.' }),
    merged_chunks: Type.Integer({ description: 'Chunks that were copied into a new pack.' }),
  },
  { title: 'Swept' },
)
