/**
 * A user without rights tries to listen on the mirror's port, each millisecond of the host's life.
 */
import { readFile, writeFile } from 'node:fs/promises';
import type { SystemdHost } from '../../lab/systemd/systemd-host.ts';

const LOG = 'var/log/binder.log';

/** In perl, which the host has. It holds what it gets for a moment: do settings point there? */
const SCRIPT = String.raw`
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 AF_INET6 IPPROTO_IPV6 IPV6_V6ONLY);
$| = 1;
my $port = 5000;
my @addresses = (
  ['127.0.0.1', AF_INET, pack_sockaddr_in($port, inet_aton('127.0.0.1'))],
  ['0.0.0.0', AF_INET, pack_sockaddr_in($port, INADDR_ANY)],
  ['::1', AF_INET6, pack_sockaddr_in6($port, inet_pton(AF_INET6, '::1'))],
  ['::', AF_INET6, pack_sockaddr_in6($port, inet_pton(AF_INET6, '::'))],
);
print "begins as user $<\n";
while (1) {
  for (@addresses) {
    my ($name, $family, $address) = @$_;
    socket(my $socket, $family, SOCK_STREAM, 0) or next;
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    setsockopt($socket, SOL_SOCKET, SO_REUSEPORT, 1);
    next unless bind($socket, $address) && listen($socket, 5);
    my $pointed = 0;
    for (1 .. 100) {
      $pointed ||= points();
      select(undef, undef, undef, 0.001);
    }
    print "got $name, settings ", ($pointed ? 'point' : 'do not point'), " there\n";
    close($socket);
    select(undef, undef, undef, 0.9);
  }
  select(undef, undef, undef, 0.001);
}
sub points {
  for my $path (glob('/etc/containerd/certs.d/*/hosts.toml')) {
    open(my $file, '<', $path) or next;
    return 1 if grep { /127\.0\.0\.1:$port/ } <$file>;
  }
  return 0;
}
`;

const UNIT = `[Unit]
Description=Somebody who wants the mirror's port
[Service]
DynamicUser=yes
ExecStart=/usr/bin/perl /var/lib/binder.pl
StandardOutput=append:/${LOG}
StandardError=append:/${LOG}
[Install]
WantedBy=basic.target
`;

/** Before the boot: it begins at the first moment at which a user's program can. */
export async function addBinder(host: SystemdHost): Promise<void> {
  await writeFile(host.path('var/lib/binder.pl'), SCRIPT);
  await writeFile(host.path('etc/systemd/system/binder.service'), UNIT);
}

/** What it has said since the last look. */
export async function boundBy(host: SystemdHost): Promise<string[]> {
  const path = host.path(LOG);
  const text = await readFile(path, 'utf8').catch(() => '');
  await writeFile(path, '');
  return text.split('\n').filter((line) => line !== '');
}
