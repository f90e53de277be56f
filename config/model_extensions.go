package config

// The values of directives that the original does not have.

// Kernel names what carries IPsec.
type Kernel uint8

// The kernel backends.
const (
	KernelAuto Kernel = iota + 1 // the first that works
	KernelXFRM
	KernelPFKey
	KernelUserspace
)

func (k Kernel) String() string { return wordOf(kernelWords, k) }

// LogFormat is the form of the agent's log.
type LogFormat uint8

// The forms of the log.
const (
	LogText LogFormat = iota + 1
	LogJSON
)

func (f LogFormat) String() string { return wordOf(logFormatWords, f) }

// Mark is a firewall mark; only the bits of Mask count.
type Mark struct {
	Value, Mask uint32
}

// Offload says what a network device does of IPsec.
type Offload uint8

// The settings of hw_offload.
const (
	OffloadOff    Offload = iota + 1
	OffloadCrypto         // the cipher alone
	OffloadPacket         // the whole of ESP, with its policies
)

func (o Offload) String() string { return wordOf(offloadWords, o) }

// MSSClamp bounds the maximum segment size of TCP connections through a tunnel.
// The zero value leaves it alone.
type MSSClamp struct {
	PathMTU bool   // as large as the path's MTU lets it be
	Octets  uint16 // so large; 0: not bounded by a number
}
