// Schemas of backups. A schema with a title becomes a component of the OpenAPI document; routes validate with
// these very objects.
import { Type } from 'typebox'

/** A backup. */
export const Backup = Type.Object(
  {
    id: Type.String({ description: 'When it was begun.' }),
    state: Type.Union([Type.Literal('running'), Type.Literal('done')]),
    created_at: Type.String(),
    sequence: Type.Integer({ description: 'The last commit that it holds.' }),
    nbytes: Type.Integer({ description: 'Bytes of its files; links count like copies.' }),
    sha256: Type.Union([Type.String(), Type.Null()], {
      description: 'Of its manifest, which names every file; null until it is done.',
    }),
    packs: Type.Union([Type.Literal('linked'), Type.Literal('copied')], {
      description:
        'Linked packs cost no room, and share the fate of the disk that they are on; copied ones are its own.',
    }),
    damaged_chunks: Type.Integer({
      description: 'Chunks that were known to be damaged when it was made.',
    }),
  },
  { title: 'Backup' },
)

/** Backups, newest first. */
export const BackupList = Type.Object({ backups: Type.Array(Backup) }, { title: 'BackupList' })

/** How to make a backup. */
export const CreateBackup = Type.Object(
  {
    copy: Type.Optional(
      Type.Boolean({ default: false, description: 'Copy packs also where links would do.' }),
    ),
    async: Type.Optional(Type.Boolean({ description: 'As an operation, with progress.' })),
  },
  { title: 'CreateBackup', additionalProperties: false, examples: [{ async: true }] },
)
