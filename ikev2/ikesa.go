package ikev2

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// ikeSA is one IKE SA, from its first message to its end.
type ikeSA struct {
	e          *Engine
	serial     uint64
	state      state
	initiator  bool // original initiator (of the exchange that made it, after a rekey)
	spii, spir uint64

	local, peer       netip.AddrPort
	natLocal, natPeer bool // a NAT is in front of this host, of the peer
	forwarded         bool // the NAT in front of this host is a router that forwards to it
	mob               mobility

	remote          *Remote // nil as responder until the peer is authenticated
	localID, peerID Identity
	suite           suite
	keys            *keys
	setup           *setup // until it is established
	ppk             bool   // keys are those with a PPK, or descend from such
	halfOpen        bool   // counted in Shared.HalfOpen
	initial         initialKey
	children        []*childSA
	began           bool         // this host began, in the first exchange and not by rekeying
	authExpires     time.Time    // of the authentication; zero: never
	reauthAt        time.Time    // when it is repeated; zero: not by this host, or it is under way
	heir            *ikeSA       // that repeats the authentication
	next            *ikeSA       // that has replaced it
	line            *lineage     // that it shares with those which it has replaced
	waits           bool         // counted in line.waiting
	leaves          bool         // one of its addresses is not used any more, and no MOBIKE moves it
	replacement     *replacement // of the IKE SA itself, while one is made
	created         time.Time
	established     time.Time
	expires         time.Time // zero: never
	heard           time.Time
	closing         bool // a deletion is queued
	full            bool // the peer takes no more children here (NO_ADDITIONAL_SAS)
	announced       bool // IKEUp was emitted, and IKEDown is due
	told            path // where it was announced to be
	postponed       []task
	x               exchanger
	frag            fragmentation
	busy, pumping   bool
	timers          timerTable
	deadline        time.Time
	heapIndex       int
}

// setup is what an IKE SA needs only until it is established.
type setup struct {
	ni, nr       []byte
	initRequest  []byte // IKE_SA_INIT octets, as AUTH covers them
	initResponse []byte
	peerHashes   bool // the peer sent NAT detection hashes
	ppk          bool // both ends sent USE_PPK
	childless    bool // IKE_AUTH comes, or may come, without a child (RFC 6023)
	remote       *Remote

	// as initiator
	wanted    []want
	peerIndex int // of remote.Peers; -1 when it has left the list
	group     transform.KE
	natTries  int // how often UNEXPECTED_NAT_DETECTED was the answer
	tried     []transform.KE
	key       transform.PrivateKey
	offered   []message.Proposal
	cookie    []byte
	cookies   int
	replaces  *ikeSA       // whose authentication is repeated; nil: none
	refusal   string       // an error notification in the clear: a hint, not the end
	first     *negotiation // the child of IKE_AUTH
	mixed     *subkeys     // with the PPK, until the answer tells whether it is used
}

// want is a child SA that was asked for.
type want struct {
	child  *Child
	packet *kernel.Selector
	only   *trafficSet // the traffic to ask for instead of the child's; nil: none
}

// newSA makes an IKE SA in state IDLE.
func (e *Engine) newSA(local, peer netip.AddrPort, initiator bool) *ikeSA {
	sa := &ikeSA{
		e: e, serial: e.nextSerial(), initiator: initiator, began: initiator, local: local, peer: peer,
		created: e.now, heard: e.now, heapIndex: -1, line: new(lineage),
	}
	e.sas[sa.serial] = sa
	return sa
}

// ownSPI is the SPI that this host allocated.
func (sa *ikeSA) ownSPI() uint64 {
	if sa.initiator {
		return sa.spii
	}
	return sa.spir
}

// newSPI allocates an IKE SPI: the shard's number and seven random octets.
// RFC 7296 §2.6: it is not zero, and unique on this host.
func (e *Engine) newSPI() (uint64, error) {
	for range 16 {
		var b [7]byte
		if err := e.random(b[:]); err != nil {
			return 0, err
		}
		spi := uint64(e.cfg.Shard)
		for _, o := range b {
			spi = spi<<8 | uint64(o)
		}
		if _, taken := e.bySPI[spi]; !taken && spi != 0 && !e.lingering.has(spi) {
			return spi, nil
		}
	}
	return 0, fmt.Errorf("no unused IKE SPI was found")
}

// nonce makes a nonce of the remote's size. RFC 7296 §2.10: at least 16 octets
// and half the key size of every PRF that may be chosen.
func (e *Engine) nonce(r *Remote) ([]byte, error) {
	n := max(r.NonceSize, 16)
	for _, p := range r.Proposals {
		for _, id := range p.PRF {
			if prf, err := transform.NewPRF(id); err == nil {
				n = max(n, prf.KeySize()/2)
			}
		}
	}
	b := make([]byte, min(n, 256))
	return b, e.random(b)
}

// bind gives the IKE SA a remote and lists it under the remote's name.
func (sa *ikeSA) bind(r *Remote) {
	sa.unbind()
	sa.remote = r
	sa.e.byRemote[r.Name] = append(sa.e.byRemote[r.Name], sa)
}

func (sa *ikeSA) unbind() {
	if sa.remote == nil {
		return
	}
	name := sa.remote.Name
	list := slices.DeleteFunc(sa.e.byRemote[name], func(other *ikeSA) bool { return other == sa })
	if len(list) == 0 {
		delete(sa.e.byRemote, name)
	} else {
		sa.e.byRemote[name] = list
	}
	sa.remote = nil
}

// establish enters ESTABLISHED after both ends are authenticated.
func (sa *ikeSA) establish() {
	e, r := sa.e, sa.remote
	sa.state = stateEstablished
	sa.established = e.now
	sa.notHalfOpen()
	sa.stopTimer(timerGiveUp)
	if r.Lifetime > 0 {
		sa.expires = e.now.Add(r.Lifetime)
		sa.setTimer(timerExpire, r.Lifetime)
		sa.setTimer(timerRekey, e.jitter(r.Lifetime, sa.initiator))
	}
	if sa.needsKeepalive() {
		sa.setTimer(timerKeepalive, keepaliveInterval)
	}
	sa.armAuth()
	sa.armLiveness()
	sa.armGrace()
}

// jitter is a soft limit below a hard one.
func (e *Engine) jitter(hard time.Duration, initiator bool) time.Duration {
	return hard / 1000 * time.Duration(e.permille(initiator))
}

// permille is a soft limit in thousandths of a hard one: 800 to 850 for the
// initiator and 860 to 900 for the responder, so that both ends seldom rekey at the
// same time (RFC 7296 §2.8.1).
func (e *Engine) permille(initiator bool) uint64 {
	low, span := uint64(860), uint64(40)
	if initiator {
		low, span = 800, 50
	}
	var b [1]byte
	if e.random(b[:]) != nil {
		b[0] = 128
	}
	return low + uint64(b[0])*span/255
}

// notHalfOpen takes the IKE SA out of the count of half-open ones.
func (sa *ikeSA) notHalfOpen() {
	if sa.halfOpen {
		sa.halfOpen = false
		sa.e.crowd.leave(sa.initial.peer.Addr())
		sa.e.cfg.Shared.HalfOpen.Add(-1)
	}
}

// giveUp ends what takes too long.
func (sa *ikeSA) giveUp() {
	switch sa.state {
	case stateIdle, stateInitSent, stateHalfOpen, stateAuthSent:
		text := "it was not established in time"
		sa.e.trace(trace.ProtoErr, reasonSetupTimeout, text, sa.attrs()...)
		sa.farewell()
		sa.destroy(reasonSetupTimeout, text)
	case stateRekeyed:
		// The peer, or this host's own DELETE, should have ended it long ago.
		sa.destroy(reasonIKEDeleted, "it was replaced")
	default: // its deletion waits for an answer, or behind another request that does
		sa.farewell()
		sa.destroy(reasonIKEDeleted, "the peer does not answer its deletion")
	}
}

// destroy ends the IKE SA at once, without telling the peer, with all that
// depends on it.
func (sa *ikeSA) destroy(reason, text string) {
	if sa.state == stateDead {
		return
	}
	e, was := sa.e, sa.state
	sa.inherit()
	sa.state = stateDead
	sa.forgetAllFragments()
	sa.linger()
	for _, c := range slices.Clone(sa.children) {
		c.remove(text)
	}
	sa.notHalfOpen()
	sa.noLongerWaits()
	for k := range sa.timers {
		sa.timers[k] = time.Time{}
	}
	sa.reschedule()
	delete(e.sas, sa.serial)
	if own := sa.ownSPI(); own != 0 && e.bySPI[own] == sa {
		delete(e.bySPI, own)
	}
	if e.initial[sa.initial] == sa {
		delete(e.initial, sa.initial)
	}
	tasks := sa.allTasks()
	setup, remote := sa.setup, sa.remote
	sa.x = exchanger{}
	sa.postponed, sa.setup = nil, nil
	sa.unbind()
	sa.remote = remote // for explanations only
	sa.keys.wipe()
	if was == stateEstablished || was == stateRekeyed || was == stateDeleting {
		e.trace(trace.Info, reasonIKEDeleted, "IKE SA is gone: "+text, sa.attrs()...)
	}
	sa.down(text)
	for _, t := range tasks {
		t.failed(sa, reason, text)
	}
	setup.wipe()
	if setup != nil && len(setup.wanted) > 0 {
		e.setupFailed(remote, setup, reason, text)
	}
}

// allTasks are the exchanges under way, queued and postponed.
func (sa *ikeSA) allTasks() []task {
	all := append(sa.x.underWay(), sa.x.queue...)
	return append(all, sa.postponed...)
}

// wipe overwrites what may reveal keys.
func (s *setup) wipe() {
	if s == nil {
		return
	}
	clear(s.ni)
	clear(s.nr)
	s.key = nil
	s.mixed.wipe()
}

// attr makes one attribute of a trace event.
func attr(key, value string) trace.Attr { return trace.Attr{Key: key, Value: value} }

// attrs names the IKE SA in a trace event.
func (sa *ikeSA) attrs(more ...trace.Attr) []trace.Attr {
	list := []trace.Attr{
		attr("peer", sa.peer.String()), attr("local", sa.local.String()),
		attr("spi", fmt.Sprintf("%016x:%016x", sa.spii, sa.spir)),
	}
	if sa.remote != nil {
		list = append(list, attr("remote", sa.remote.Name))
	}
	if len(sa.peerID.Data) > 0 {
		list = append(list, attr("peer_id", sa.peerID.String()))
	}
	return append(list, more...)
}

// place names a remote with its line: "remote tokyo (racoon2.conf:12)".
func (r *Remote) place() string {
	if r.Where == "" {
		return "remote " + r.Name
	}
	return "remote " + r.Name + " (" + r.Where + ")"
}

// place names a child's selector with its line.
func (c *Child) place() string {
	if c.Where == "" {
		return "selector " + c.Name
	}
	return "selector " + c.Name + " (" + c.Where + ")"
}

// initialKey recognises an IKE_SA_INIT request (RFC 7296 §2.1: by SPIi, the
// address and the octets).
type initialKey struct {
	spii uint64
	peer netip.AddrPort
	hash [sha256.Size]byte
}

// summary is the suite in words for `status` and the log.
func (s suite) summary() string {
	names := []string{encryptionName(s.encr), s.prf.String()}
	if !s.encr.ID.AEAD() {
		names = append(names, s.integ.String())
	}
	return strings.Join(append(names, s.ke.String()), " ")
}

func encryptionName(e Encryption) string {
	return transformName(message.Transform{Type: transform.TypeENCR, ID: uint16(e.ID), KeyBits: e.KeyBits})
}

// mayStart says that the state and what is under way allow the next queued exchange.
func (sa *ikeSA) mayStart() bool {
	for _, t := range sa.x.underWay() {
		if collides(t, sa.x.queue[0]) {
			return false
		}
	}
	switch sa.state {
	case stateEstablished:
		return true
	case stateRekeyed:
		_, ok := sa.x.queue[0].(*deleteTask)
		return ok
	}
	return false
}
