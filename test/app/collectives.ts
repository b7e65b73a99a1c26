import { z } from "zod";

const counts = { count: z.int(), bytesSent: z.int(), bytesReceived: z.int() };

/** Collectives of a rank by kind, as a run's `--json` has them. */
export const collectivesSchema = z.record(z.string(), z.object(counts));

/** See {@link collectivesSchema}. */
export type Collectives = z.infer<typeof collectivesSchema>;

const planSchema = z.object({
  ranks: z.array(z.object({ collectives: z.array(z.object({ collective: z.string(), ...counts })) })),
});

/** Collectives of each rank by kind, all groups together, from what `plan --json` printed. */
export function plannedCollectives(plan: unknown): Collectives[] {
  return planSchema.parse(plan).ranks.map(({ collectives }) => {
    const byKind: Collectives = {};
    for (const { collective, count, bytesSent, bytesReceived } of collectives) {
      const total = byKind[collective] ?? { count: 0, bytesSent: 0, bytesReceived: 0 };
      byKind[collective] = {
        count: total.count + count,
        bytesSent: total.bytesSent + bytesSent,
        bytesReceived: total.bytesReceived + bytesReceived,
      };
    }
    return byKind;
  });
}
