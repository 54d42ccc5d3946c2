/** What a worker takes from the queues: the longest job of the first queue that has one. */
export type Queue<Job> = Job[];

/**
 * Runs all jobs. `workers` has a list of queues for each worker, its own first. A worker with an
 * empty queue takes from the next in its list, so that none is idle while it may help another.
 * A queue that stands in the lists of two workers never has more than two jobs at a time.
 */
export async function runQueues<Job>(
  workers: readonly (readonly Queue<Job>[])[],
  runJob: (job: Job) => Promise<void>,
): Promise<void> {
  await Promise.all(
    workers.map(async (queues) => {
      for (;;) {
        const job = queues.find((queue) => queue.length > 0)?.shift();
        if (job === undefined) return;
        await runJob(job);
      }
    }),
  );
}
