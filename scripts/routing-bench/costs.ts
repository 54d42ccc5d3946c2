import type { Costs } from './count.ts';

/**
 * What each thing costs, measured on 2026-11-23 on two cores of an AMD EPYC that others used, too.
 * The numbers are right within a factor of 1.5.
 * - Memory and idle CPU: a node with 10 and with 200 connections of peers that say nothing
 *   (star.ts), the most expensive of four runs: 89 and 124 MB, 0.0025 and 0.0061 CPU seconds per
 *   second. `PINGED`: 50 nodes in a full mesh with the library's monitor, 0.0071.
 * - Records: 100,000 records of 5,000 keys to 49 peers in full batches: 0.52 CPU seconds; at one
 *   receiver, 0.022 for 2,041 of them. The same as a refresh on 700 streams that had to be opened:
 *   0.37 CPU seconds more.
 * - Connections: 50 nodes that join with 1,225 connections: 16 CPU seconds, without the start of
 *   the processes.
 * - Routing table: 40 us for the 20 closest of 5,000 peers.
 */
export const MEASURED: Costs = {
  baseMb: 88,
  mbPerPeer: 0.18,
  bytesPerRecordHeld: 210,
  idleCpu: 0.0025,
  idleCpuPerPeer: 19e-6,
  sendRecordCpu: 5.2e-6,
  receiveRecordCpu: 11e-6,
  openCpu: 0.5e-3,
  bytesPerRecord: 95,
  bytesPerOpen: 250,
  connectCpu: 6.5e-3,
  scanCpuPerPeer: 8e-9,
};

/** With libp2p's own connection monitor, which opens a stream for each ping. */
export const PINGED: Costs = { ...MEASURED, idleCpuPerPeer: 90e-6 };
