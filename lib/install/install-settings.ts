import type { ConfigurationSettings } from '../hosts/configuration-settings.ts';
import type { Variables } from '../proxy/go-proxy.ts';
import type { FirstPeers } from './checks/peers-check.ts';
import type { DesiredService } from './checks/service-check.ts';
import type { FoundContainerd } from './containerd/find-containerd.ts';
import type { EnvironmentHead } from './settings/environment-edit.ts';
import type { Finding } from './system/finding.ts';
import type { InstallContents, PathsByUnit } from './system/layout.ts';
import type { Listener } from './system/socket-unit.ts';

/** What an installation is to do, and for which host. */
export interface InstallSettings {
  readonly contents: InstallContents;
  readonly version: string;
  readonly containerd: FoundContainerd;
  /** containerd's config_path, as the environment file has it. */
  readonly hostsPaths: readonly string[];
  /** Other paths that the settings of the services name. */
  readonly pathsInSettings: PathsByUnit;
  /** The mirror settings of the environment file. */
  readonly mirrors: ConfigurationSettings;
  /** What the configuration unit learned of containerd in its last run; undefined: nothing. */
  readonly recordedContainerd2: boolean | undefined;
  readonly registry: Listener;
  readonly router: Listener;
  readonly metrics: Listener;
  /** Further addresses on which the service listens. */
  readonly otherListeners: readonly Listener[];
  readonly firstPeers: FirstPeers;
  /** Whether this host has the key of a closed network. */
  readonly isClosed: boolean;
  /** The variables of the service's options. */
  readonly optionVariables: readonly string[];
  /** Settings that this call writes to the environment file. */
  readonly settingsToWrite: Variables;
  /** Those of them that the command line names, by the bare names. */
  readonly flagSettings: Variables;
  readonly environmentHead: EnvironmentHead;
  /** The settings of the environment file after this call. */
  readonly resultingSettings: Variables;
  /** Where a service with this environment serves its metrics; undefined: the value is wrong. */
  readonly metricsIn: DesiredService['metricsIn'];
  /** What is wrong with the settings. */
  readonly settingFindings: readonly Finding[];
  /** False: the service is enabled, and starts at the next boot. */
  readonly start: boolean;
  /** True: nothing is written. */
  readonly isCheck: boolean;
}
