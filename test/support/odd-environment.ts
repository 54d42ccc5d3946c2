/**
 * An environment file with everything that systemd reads in a way of its own, and what it makes of
 * it.
 */
export const ODD_ENVIRONMENT_FILE = `# A1=1
; A2=2
C=plain # not a comment
D="double \\"quoted\\" \\$x $y \\d \\\\"
E='single \\d'
 F = yes
G=a\\
b
H=
I="a"b 'c' d\x20
J=a"b"'c'
K="multi
line"\x20
L=\\ lead and trail\\\x20
M=x\\ty
N="a\\
b"
O='a' 'b'
export P=1
Q-R=1
S=a  \x20
T="x" # y
U=http://u:p%20$w@h
V=\t tab
W="é"
X
Y=1=2
AA=first
AA=second
Z="unterminated
`;

/** Seen with systemd 252. */
export const ODD_ENVIRONMENT: Readonly<Record<string, string>> = {
  C: 'plain # not a comment',
  D: 'double "quoted" $x $y \\d \\',
  E: 'single \\d',
  F: 'yes',
  G: 'ab',
  H: '',
  I: "ab 'c' d",
  J: 'a"b"\'c\'',
  K: 'multi\nline',
  L: ' lead and trail ',
  M: 'xty',
  N: 'ab',
  O: 'ab',
  S: 'a',
  T: 'x# y',
  U: 'http://u:p%20$w@h',
  V: 'tab',
  W: 'é',
  Y: '1=2',
  AA: 'second',
  Z: 'unterminated\n',
};
