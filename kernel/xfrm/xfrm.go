// Package xfrm carries out IPsec by Linux's kernel, over NETLINK_XFRM. The
// codec is pure and runs on every system; the socket is Linux's alone.
//
// It owns no SA and no policy, so that what it installed stays when it is closed, but
// for the table of Policy.MSS.
// It makes no Forward twin of inbound policies and no exemption of neighbour
// discovery, since the policy manager does.
// It never shows keys: a dump's keys are wiped unread.
//
// Linux's ways that show through:
//   - Policies have a value and a mask for ports, so that ranges must be split
//     (kernel.PortRange.Split). An SA's selector with other ranges is installed
//     with any port; the policies still check.
//   - An SA has no direction; SAState leaves it out.
//   - Time limits have whole seconds, rounded up.
//   - A kernel repeats an Acquire only after net.core.xfrm_acq_expires seconds.
//   - It refuses an outbound tunnel policy of level Use (for some years now).
//   - Level Unique is Require with a share value that the kernel keeps and ignores.
//   - IPComp templates of arriving packets are optional to the kernel whatever their
//     level is, since small packets come without IPComp; a dump gives them the level
//     of the next transform.
//   - A transport SA's selector of another family than its addresses, as in a
//     bundle whose innermost transform is a tunnel, is left out.
//   - An SA with a mark is found by its mark alone, so that the Backend remembers it.
//   - A device that cannot encrypt makes the kernel fall back to itself in
//     silence: the SA is read back, and deleted again.
//   - Policy.MSS is carried out by rules in an nf_tables table of this package.
//
// Not here: ESP in TCP, IP-TFS, implicit IVs. Processors of 32 bits whose 64-bit numbers are aligned to 32 (386)
// have other layouts and are refused.
//
// Sources: linux/xfrm.h, RFC 4301, RFC 4302, RFC 4303, RFC 3173, RFC 3948.
package xfrm

import (
	"errors"
	"math"
	"time"

	"racoon2/kernel"
)

// ErrMalformed is the cause of every decoding error.
var ErrMalformed = errors.New("malformed xfrm message")

// Message types.
const (
	msgNewSA        = 0x10
	msgDelSA        = 0x11
	msgGetSA        = 0x12
	msgNewPolicy    = 0x13
	msgDelPolicy    = 0x14
	msgGetPolicy    = 0x15
	msgAllocSPI     = 0x16
	msgAcquire      = 0x17
	msgExpire       = 0x18
	msgUpdPolicy    = 0x19
	msgUpdSA        = 0x1a
	msgPolicyExpire = 0x1b
	msgFlushSA      = 0x1c
	msgFlushPolicy  = 0x1d
	msgMigrate      = 0x21
	msgMapping      = 0x26
)

// Attribute types.
const (
	attrAlgAuth      = 1
	attrAlgCrypt     = 2
	attrAlgComp      = 3
	attrEncap        = 4
	attrTemplates    = 5
	attrPolicy       = 7
	attrCounters     = 9
	attrReplay       = 10
	attrSrc          = 13
	attrLastUsed     = 15
	attrMigrate      = 17
	attrAlgAEAD      = 18
	attrAlgAuthTrunc = 20
	attrMark         = 21
	attrReplayESN    = 23
	attrExtraFlags   = 24
	attrOffload      = 28
	attrSetMark      = 29
	attrSetMarkMask  = 30
	attrIfID         = 31
)

// Multicast groups.
const (
	groupAcquire = 1
	groupExpire  = 2
	groupSA      = 3
	groupPolicy  = 4
	groupMigrate = 7
	groupMapping = 8
)

// Values of fields.
const (
	modeTransport = 0
	modeTunnel    = 1

	dirIn      = 0
	dirOut     = 1
	dirForward = 2

	actionAllow = 0
	actionBlock = 1

	shareAny    = 0
	shareUnique = 3

	flagAFUnspec = 32  // the selector is for both families
	flagAlign4   = 64  // AH is a multiple of 32 bits, not of 64
	flagESN      = 128 // extended sequence numbers

	offloadInbound = 2
	offloadPacket  = 4

	encapESPInUDP = 2 // RFC 3948

	protoAny = 255 // IPSEC_PROTO_ANY

	infinite = math.MaxUint64 // XFRM_INF

	// maxWindow is the largest anti-replay window (XFRMA_REPLAY_ESN_MAX).
	maxWindow = 4096
	// smallWindow is the largest that fits struct xfrm_usersa_info.
	smallWindow = 32
)

// toLimits translates a pair of lifetimes. Octets and packets without limit
// are XFRM_INF; seconds without limit are 0, since XFRM_INF seconds would be
// taken for a time in the past.
func toLimits(soft, hard kernel.Lifetime) limits {
	bytes := func(n uint64) uint64 {
		if n == 0 {
			return infinite
		}
		return n
	}
	seconds := func(d time.Duration) uint64 {
		if d <= 0 {
			return 0
		}
		return uint64((d + time.Second - 1) / time.Second)
	}
	return limits{
		SoftBytes: bytes(soft.Bytes), HardBytes: bytes(hard.Bytes),
		SoftPackets: infinite, HardPackets: infinite,
		SoftAdded: seconds(soft.Time), HardAdded: seconds(hard.Time),
	}
}

// lifetimes is toLimits the other way.
func (l limits) lifetimes() (soft, hard kernel.Lifetime) {
	bytes := func(n uint64) uint64 {
		if n == infinite {
			return 0
		}
		return n
	}
	duration := func(seconds uint64) time.Duration {
		if seconds > math.MaxInt64/uint64(time.Second) {
			return 0
		}
		return time.Duration(seconds) * time.Second
	}
	soft = kernel.Lifetime{Time: duration(l.SoftAdded), Bytes: bytes(l.SoftBytes)}
	hard = kernel.Lifetime{Time: duration(l.HardAdded), Bytes: bytes(l.HardBytes)}
	return soft, hard
}

// moment reads a time in seconds since 1970; 0 is the zero Time.
func moment(seconds uint64) time.Time {
	if seconds == 0 || seconds > math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
