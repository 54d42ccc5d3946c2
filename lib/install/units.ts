/** The units in systemd/, written by test/support/write-embedded.ts: the executable has no files beside it. */

export const SERVICE_UNIT = `\
[Unit]
Description=Spegel, shares the container images of this host with its peers
Wants=network-online.target spegel-configuration.service
After=network-online.target containerd.service
# Pods pull as soon as the kubelet runs.
Before=kubelet.service
# Not ready until containerd answers; whatever comes after us at boot waits no longer than this, and we go on.
JobRunningTimeoutSec=30s
# Restarted for ever: a pause between two starts does what a limit would, and a limit leaves a dead mirror.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
EnvironmentFile=-/etc/spegel/spegel.env
ExecStart=/usr/local/bin/spegel registry
Restart=always
RestartSec=3s
# While it waits for containerd it asks for more time by itself: this ends a start that is frozen.
TimeoutStartSec=30s
# A frozen daemon holds up containerd's pulls; it has nothing to say any more, so no core dump of it either.
WatchdogSec=5s
WatchdogSignal=SIGKILL
# Running transfers have ten seconds to end.
TimeoutStopSec=20s
KillMode=mixed

# Beside the workload, not in front of it.
CPUWeight=20
IOWeight=20
MemoryMax=512M
TasksMax=256
OOMScoreAdjust=500
LimitNOFILE=65536
LimitCORE=0

# A user of its own that exists while it runs. containerd's socket is open to the group root, the files of
# its content store to root alone: the one capability lets it read them.
DynamicUser=yes
SupplementaryGroups=root
StateDirectory=spegel
StateDirectoryMode=0700
AmbientCapabilities=CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_DAC_READ_SEARCH

NoNewPrivileges=yes
PrivateUsers=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateIPC=yes
PrivateMounts=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
KeyringMode=private
UMask=0077
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute=yes is left out: V8 compiles to memory that it writes and then executes.

[Install]
WantedBy=multi-user.target
`;

export const CONFIGURATION_UNIT = `\
[Unit]
Description=Mirror settings of containerd that point at Spegel
After=spegel.service
# Pods pull as soon as the kubelet runs.
Before=kubelet.service
# Wanted by spegel.service, and stopped when that has stopped or failed for good. Not Requires=, BindsTo=, PartOf= or
# StopPropagatedFrom=: they hand an automatic restart on, and a crash would take the settings out and write them anew.
StopWhenUnneeded=yes
# As in spegel.service; with nothing to wait for it takes a quarter of a second.
JobRunningTimeoutSec=10s

[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=-/etc/spegel/spegel.env
# After= is satisfied by a start that failed or is still going on when its job has timed out.
ExecCondition=/bin/sh -c 'until s=$(systemctl is-active spegel.service); do [ "$s" = activating ] || exit 9; sleep 1; done'
ExecStart=/usr/local/bin/spegel configuration
# 1: some file cannot take the block and was left alone. The others are written, and are to be cleaned up.
SuccessExitStatus=1
# Not ExecStop=, which is left out when the start did not come to its end.
ExecStopPost=/usr/local/bin/spegel cleanup
TimeoutStartSec=infinity
TimeoutStopSec=30s
CPUWeight=20
IOWeight=20
MemoryMax=256M
TasksMax=64
LimitCORE=0

# containerd's configuration belongs to root. Files and directories of other owners stay theirs.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER
# /etc/containerd, made if it is not there: all else is read-only.
ConfigurationDirectory=containerd
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateIPC=yes
PrivateMounts=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
KeyringMode=private
UMask=0077
# Not PrivateNetwork=yes: the lock that keeps two runs apart is a name in the network namespace.
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=@chown
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute=yes is left out: V8 compiles to memory that it writes and then executes.
`;
