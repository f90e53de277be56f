package config

// interfaceExplanations are of the sections and of interface.
var interfaceExplanations = map[string]explanation{
	"top/setval": {means: "Names for values: ${NAME} stands for one inside quotes, wherever it is written. There is one setval section; a value may use other names, and $[NAME] for an environment variable.",
		example: `setval { PSKDIR "/etc/racoon2/psk"; };`},
	"top/include": {means: "Reads other files in place of the line. The name may be a pattern, ~ is a home directory, and a relative name is looked for beside the file. Each file must be a regular file of the running user.",
		example: `include "/etc/racoon2/conf.d/*.conf";`},
	"top/interface":   {means: "Where the agent listens, and what carries IPsec. Without the section IKE listens on ports 500 and 4500 of all addresses.", example: "interface { ike { MY_IP port 500; MY_IP port 4500; }; };"},
	"top/resolver":    {means: "The DNS proxy.", example: "resolver { resolver on; nameserver 192.0.2.53; };"},
	"top/remote":      {means: "A peer, or a pattern of several: how to reach it, who it is and how it proves it. Of the remotes that fit, the first in the file is taken.", example: `remote tokyo { ikev2 { peers_ipaddr 192.0.2.2; … }; };`},
	"top/selector":    {means: "Traffic in one direction, and the policy for it. Two-way traffic needs a selector for each direction.", example: "selector out { direction outbound; src 10.1.0.0/16; dst 10.2.0.0/16; policy_index tunnel; };"},
	"top/policy":      {means: "What happens to the traffic of the selectors that name it.", example: "policy tunnel { action auto_ipsec; remote_index tokyo; };"},
	"top/ipsec":       {means: "A bundle of transforms that protect a packet together, with a lifetime. A policy without one has the built-in bundle: ESP alone.", example: "ipsec strong { sa_index esp256; };"},
	"top/sa":          {means: "One transform: a protocol and its algorithms.", example: "sa esp256 { sa_protocol esp; esp_enc_alg { aes_gcm,256; }; };"},
	"top/addresspool": {means: "Ranges of addresses that an IKEv2 responder hands out.", example: "addresspool office { 10.9.0.1 - 10.9.0.99; };"},
	"top/default":     {means: "Sections remote, policy, ipsec and sa without names; what they say holds wherever a section of the kind does not say otherwise. Lists replace one another, blocks are inherited directive by directive. Its remote is also the remote of last resort.", example: "default { policy { ipsec_mode transport; }; };"},

	"ike": {means: "The addresses and ports on which IKE listens. NAT traversal needs port 4500 too.", otherwise: "ports 500 and 4500 of all addresses; port 500 where none is written",
		example: "{ MY_IP port 500; MY_IP port 4500; }"},
	"interface/kink": {means: "The addresses and ports on which KINK listens.", otherwise: "port 910 of all addresses where a remote uses KINK; port 910 where none is written", example: "MY_IP"},
	"spmd":           {means: "The control sockets: a path, or an address of this host alone.", otherwise: "spmif in the run directory; port 9555 where none is written", example: `unix "/run/racoon2/spmif"`},
	"spmd_password":  {means: "The file with the password of the control sockets; only its owner may read it.", otherwise: "a password that is made at every start", example: `"/etc/racoon2/spmd.pwd"`},
	"application_bypass": {means: "Lets the agent's own packets, IKE's, KINK's and those to and from KDCs, past the policies. When off they obey the policies, so that one which covers a peer needs another beside it with action none for IKE's ports. With the kernel userspace it is always on.", builtin: "on",
		example: "off"},
	"kernel":     {means: "What carries IPsec: the first that works, Linux's XFRM, or this program with a TUN device (userspace). PF_KEY is the interface of BSD kernels, which this version does not speak. The option --kernel of racoon2 run has precedence; a change needs a restart.", builtin: "auto", example: "xfrm"},
	"metrics":    {means: "The address on which metrics are served for Prometheus, at /metrics over HTTP. Nothing protects them, so it should be an address of this host alone.", otherwise: "not served; port 9580 where none is written", example: "127.0.0.1 port 9100"},
	"log_format": {means: "The form of the agent's log: lines for people, or one JSON object a line. The option --log-format of racoon2 run has precedence.", builtin: "text", example: "json"},
}
