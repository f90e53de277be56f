package userspace

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/netlink/nft"
	"racoon2/kernel/netlink/route"
)

// New starts a Backend in the network namespace of the calling thread. When it
// fails nothing is left behind, and the error says what this host lacks.
func New(o Options) (*Backend, error) {
	return newBackend(o, openHost)
}

// carried are the protocols that raw sockets take.
var carried = [...]kernel.Protocol{kernel.ESP, kernel.AH, kernel.IPComp}

// linuxHost is the TUN device, the raw sockets, and what leads packets to them.
type linuxHost struct {
	backend *Backend
	options Options

	tun            *os.File
	tunIndex       int
	raw4, raw6     [len(carried)]*rawSocket
	clear4, clear6 *rawSocket // for packets that bring their header
	monitor        *route.Monitor
	running        sync.WaitGroup
	closed         chan struct{}

	mu       sync.Mutex // of what is installed
	route    *route.Conn
	capture  capture
	guard    guard
	filter   reverseFilter
	peers    map[netip.Addr]peer // what capture asked the host about, until something changes
	policies []kernel.Policy
	notes    []string
}

// openHost makes everything that packets need, but captures none yet.
func openHost(b *Backend, o Options) (host, error) {
	h := &linuxHost{backend: b, options: o, closed: make(chan struct{})}
	if err := h.open(); err != nil {
		h.release()
		return nil, fmt.Errorf("userspace: %w", err)
	}
	return h, nil
}

func (h *linuxHost) open() (err error) {
	if h.route, err = route.Dial(); err != nil {
		return err
	}
	if h.tun, err = openTUN(h.options.Device); err != nil {
		return err
	}
	if err := h.openSockets(); err != nil {
		return err
	}
	link, err := h.route.LinkByName(h.options.Device)
	if err != nil {
		return err
	}
	h.tunIndex = link.Index
	// Without IPv6 in the kernel there is no address to keep away.
	_ = h.route.NoLinkLocal(link.Index)
	if err := h.route.SetMTU(link.Index, h.options.MTU); err != nil {
		return err
	}
	if err := h.route.SetUp(link.Index, true); err != nil {
		return err
	}
	if h.monitor, err = route.Watch(); err != nil {
		return err
	}
	if err := h.capture.open(h.route); err != nil {
		return err
	}
	h.guard.open(h.options)
	h.filter.open(h.guard.left)
	return nil
}

// openSockets opens the raw sockets. A host without IPv6 does without.
func (h *linuxHost) openSockets() (err error) {
	for i, proto := range carried {
		if h.raw4[i], err = openRaw(false, int(proto)); err != nil {
			return err
		}
	}
	if h.clear4, err = openRaw(false, unix.IPPROTO_RAW); err != nil {
		return err
	}
	for i, proto := range carried {
		if h.raw6[i], err = openRaw(true, int(proto)); err != nil {
			break
		}
	}
	if err == nil {
		h.clear6, err = openRaw(true, unix.IPPROTO_RAW)
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		h.notes = append(h.notes, "This host has no IPv6; only IPv4 is protected.")
		return nil
	}
	return err
}

func (h *linuxHost) start() {
	h.running.Go(h.readTUN)
	for i, proto := range carried {
		h.running.Go(func() { h.read4(proto, h.raw4[i]) })
		if h.raw6[i] != nil {
			h.running.Go(func() { h.read6(proto, h.raw6[i]) })
		}
	}
	h.running.Go(h.watch)
}

const (
	// retryPause keeps a read that fails again and again from spinning.
	retryPause = 100 * time.Millisecond
	// refreshPause bounds the work that a host with many changing routes makes.
	refreshPause = 200 * time.Millisecond
)

// over says that a read loop must end; on other errors it pauses.
func (h *linuxHost) over(err error) bool {
	return errors.Is(err, os.ErrClosed) || h.paused(retryPause)
}

// paused waits, and says whether the host was closed meanwhile.
func (h *linuxHost) paused(d time.Duration) bool {
	select {
	case <-h.closed:
		return true
	case <-time.After(d):
		return false
	}
}

// readTUN takes the packets that the host routes to the device.
func (h *linuxHost) readTUN() {
	s, out := new(scratch), new(outgoing)
	for {
		n, err := h.tun.Read(s[headroom : headroom+maxPacket])
		if err != nil {
			if h.over(err) {
				return
			}
			continue
		}
		h.backend.fromHost(s, n, out)
	}
}

// read4 takes packets over IPv4; they come with their IP header.
func (h *linuxHost) read4(proto kernel.Protocol, socket *rawSocket) {
	buf, s := make([]byte, maxPacket), new(scratch)
	var outer packet
	for {
		n, err := socket.file.Read(buf)
		if err != nil {
			if h.over(err) {
				return
			}
			continue
		}
		if outer.parse4(buf[:n]) != nil || outer.fragment {
			h.backend.core.counts.add(inShort)
			continue
		}
		from := arrival{
			proto: proto, src: outer.src(), dst: outer.dst(), header: outer.octets[:outer.upper],
			tos: outer.tos, hops: outer.hops,
		}
		h.backend.fromWire(&from, outer.octets[outer.upper:], s)
	}
}

// read6 takes packets over IPv6; their IP header stays with the host.
func (h *linuxHost) read6(proto kernel.Protocol, socket *rawSocket) {
	buf, s := make([]byte, maxPacket), new(scratch)
	r := newReceiver(socket)
	var from arrival
	for {
		n, err := r.receive(buf, &from)
		if err != nil {
			if h.over(err) {
				return
			}
			continue
		}
		from.proto = proto
		h.backend.fromWire(&from, buf[:n], s)
	}
}

func (h *linuxHost) deliver(packet []byte) error {
	_, err := h.tun.Write(packet)
	return err
}

func (h *linuxHost) sendESP(out *outgoing) error {
	raw, clear := &h.raw4, h.clear4
	if out.dst.Is6() {
		raw, clear = &h.raw6, h.clear6
	}
	at := slices.Index(carried[:], out.proto)
	switch {
	case clear == nil || at < 0 || raw[at] == nil:
		return unix.EAFNOSUPPORT
	case len(out.header) == 0:
		return raw[at].sendESP(out)
	}
	// It stands in front of the rest, in the same buffer.
	whole := out.header[:len(out.header)+len(out.esp)]
	err := clear.sendPacket(whole, out.dst)
	if !errors.Is(err, errTooBig) {
		return err
	}
	for _, f := range fragments(whole, len(out.header), h.pathMTU(out.dst), rand.Uint32()) {
		if err := clear.sendPacket(f, out.dst); err != nil {
			return err
		}
	}
	return nil
}

func (h *linuxHost) sendClear(p *packet) error {
	s, dst := h.clear4, p.dst()
	if p.v6 {
		s = h.clear6
	}
	// Link-local traffic on the device is about the device itself.
	if s == nil || dst.IsLinkLocalUnicast() || dst.IsLinkLocalMulticast() || dst.IsInterfaceLocalMulticast() {
		return unix.EADDRNOTAVAIL
	}
	return s.sendPacket(p.octets, dst)
}

// apply leads packets to the device and guards what policies protect. Guards
// come first and capture afterwards, so that no packet slips in between.
func (h *linuxHost) apply(policies []kernel.Policy) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policies = policies
	return h.install()
}

func (h *linuxHost) install() error {
	if err := h.guard.set(h.policies, h.filter.strict, h.filter.note()); err != nil {
		return err
	}
	want, err := h.desired(h.policies)
	if err != nil {
		return err
	}
	return h.capture.set(h.route, want)
}

// settle removes what a crashed instance left and the policies do not want.
func (h *linuxHost) settle() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := errors.Join(h.capture.settle(h.route), h.guard.settle())
	if err != nil {
		h.notes = append(h.notes, fmt.Sprintf("Blocks of an earlier instance could not be removed: %v.", err))
	}
	return err
}

// watch follows changes of the host's addresses, links and routes.
func (h *linuxHost) watch() {
	for {
		err := h.monitor.Wait(table)
		if err != nil {
			if h.over(err) {
				return
			}
			continue
		}
		h.refresh()
		h.backend.core.setPathMTU(h.pathMTU)
		if h.paused(refreshPause) {
			return
		}
	}
}

// refresh brings capture up to date with the host. The kernel removes routes by
// itself, when an address goes, so what is installed is read anew.
func (h *linuxHost) refresh() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peers = nil
	if err := h.capture.reread(h.route); err == nil {
		_ = h.install() // the next change tries again; until then the blocks hold
	}
}

func (h *linuxHost) clearInbound() string { return h.guard.missing }

func (h *linuxHost) warnings() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	notes := append([]string(nil), h.notes...)
	if h.guard.missing != "" {
		notes = append(notes, "Clear packets are not guarded against: "+h.guard.missing+".")
	}
	if h.guard.deaf != "" {
		notes = append(notes, "Answers to the agent's own requests are dropped where a policy protects what they come from: "+h.guard.deaf+".")
	}
	return append(notes, h.filter.warnings(h.guard.missing == "")...)
}

// close opens the host again: rules, routes, guards, and then the device.
func (h *linuxHost) close() error {
	close(h.closed)
	h.monitor.Close()
	h.mu.Lock()
	err := errors.Join(h.capture.clear(h.route), h.guard.clear(), h.filter.restore())
	h.mu.Unlock()
	h.release()
	h.running.Wait()
	return err
}

// release closes what is open.
func (h *linuxHost) release() {
	if h.monitor != nil {
		h.monitor.Close()
	}
	if h.tun != nil {
		h.tun.Close()
	}
	for _, s := range slices.Concat(h.raw4[:], h.raw6[:], []*rawSocket{h.clear4, h.clear6}) {
		if s != nil {
			s.close()
		}
	}
	if h.route != nil {
		h.route.Close()
	}
	h.guard.close()
}

// guardConn is what the guard needs of nf_tables.
type guardConn interface {
	Commit(*nft.Batch) error
	Chains(nft.Table) ([]string, error)
	Rules(nft.Table, string) ([]nft.Listed, error)
	Close() error
}
