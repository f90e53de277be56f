package kerberos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Resolver is what Network asks of DNS; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Network is a KDC over UDP and TCP (RFC 4120 §7.2). gokrb5's client has no context, takes
// TCP answers of any length, and turns a KDC's error into text; its tickets are cached
// without realm and cannot be evicted.
type Network struct {
	Conf     *Krb5Conf
	Resolver Resolver // nil: the system's
	// Dialer makes the sockets: its Control may mark them, so that they go round the IPsec policies.
	Dialer net.Dialer
	// Wait is how long one address may take for its first UDP answer; it doubles in each of
	// three rounds. 0 is one second. TCP has four times as long.
	Wait time.Duration
}

const (
	kdcPort      = 88
	rounds       = 3
	maxAddresses = 16 // of the KDCs of one realm
	defaultWait  = time.Second
)

var _ KDC = (*Network)(nil)

// Exchange asks the realm's KDCs one after another, in the order of krb5.conf or of DNS:
// by UDP first, by TCP where the request is long or the answer says that it would be
// (KRB_ERR_RESPONSE_TOO_BIG) or where UDP brought nothing.
func (n *Network) Exchange(ctx context.Context, realm string, request []byte) ([]byte, error) {
	addrs, err := n.locate(ctx, realm)
	if err != nil {
		return nil, err
	}
	wait := n.Wait
	if wait == 0 {
		wait = defaultWait
	}
	var errs []error
	for round := range rounds {
		for _, a := range addrs {
			if round == rounds-1 && a.transport == "" {
				a.transport = "tcp" // a firewall may drop UDP alone
			}
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("the KDCs of %s: %w", realm, errors.Join(append(errs, err)...))
			}
			reply, err := n.ask(ctx, a, request, wait)
			if err == nil {
				return reply, nil
			}
			errs = keepErrors(errs, fmt.Errorf("%s: %w", a, err))
		}
		wait *= 2
	}
	return nil, fmt.Errorf("no KDC of %s answers: %w", realm, errors.Join(errs...))
}

// keepErrors keeps one error for each address.
func keepErrors(errs []error, err error) []error {
	if slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) || len(errs) >= 2*maxAddresses {
		return errs
	}
	return append(errs, err)
}

// ask is one try with one address.
func (n *Network) ask(ctx context.Context, a kdcAddress, request []byte, wait time.Duration) ([]byte, error) {
	limit := defaultUDP
	if n.Conf != nil {
		limit = n.Conf.UDPLimit
	}
	if a.transport != "tcp" && (len(request) <= limit || a.transport == "udp") {
		reply, err := n.udp(ctx, a.addr, request, wait)
		if err != nil || a.transport == "udp" {
			return usable(reply, err)
		}
		if m, err := decodeKRBError(reply); err != nil || m.code != krbErrResponseTooBig {
			return usable(reply, nil)
		}
	}
	return usable(n.tcp(ctx, a.addr, request, 4*wait))
}

// usable refuses an answer with which another KDC should be asked.
func usable(reply []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if m, err := decodeKRBError(reply); err == nil && m.code == kdcErrSvcUnavailable {
		return nil, errors.New(codeName(m.code))
	}
	return reply, nil
}

// udp sends one datagram from a fresh port. What cannot be an answer is passed over.
func (n *Network) udp(ctx context.Context, to netip.AddrPort, request []byte, wait time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := n.Dialer.DialContext(ctx, "udp", to.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer closeOnDone(ctx, conn)()
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	buf := make([]byte, maxMessage)
	for {
		size, err := conn.Read(buf)
		if err != nil {
			return nil, reason(ctx, err)
		}
		if answers(buf[:size]) {
			return append([]byte(nil), buf[:size]...), nil
		}
	}
}

// answers says that octets begin as an AS-REP, a TGS-REP or a KRB-ERROR.
func answers(octets []byte) bool {
	if len(octets) == 0 {
		return false
	}
	switch octets[0] {
	case byte(applicationTag(tagASRep)), byte(applicationTag(tagTGSRep)), byte(applicationTag(tagKRBError)):
		return true
	}
	return false
}

// tcp sends a message with its length in four octets before it (RFC 4120 §7.2.2). The
// length of the answer is bounded before memory is taken.
func (n *Network) tcp(ctx context.Context, to netip.AddrPort, request []byte, wait time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := n.Dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer closeOnDone(ctx, conn)()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return nil, reason(ctx, err)
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, reason(ctx, err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return nil, fmt.Errorf("the answer says that it has %d octets, more than %d", size, maxMessage)
	}
	reply := make([]byte, size)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, reason(ctx, err)
	}
	if !answers(reply) {
		return nil, errors.New("the answer is no Kerberos message")
	}
	return reply, nil
}

// closeOnDone ends a read when the context ends.
func closeOnDone(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.Close() })
}

// reason says "no answer" instead of "use of closed network connection".
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("no answer in time")
	}
	return err
}

// kdcAddress is one address of a KDC; transport is "", "udp" or "tcp".
type kdcAddress struct {
	addr      netip.AddrPort
	transport string
}

func (a kdcAddress) String() string {
	if a.transport == "" {
		return a.addr.String()
	}
	return a.transport + "/" + a.addr.String()
}

func (n *Network) resolver() Resolver {
	if n.Resolver != nil {
		return n.Resolver
	}
	return net.DefaultResolver
}

// locate finds a realm's KDCs: krb5.conf, then DNS SRV records (RFC 4120 §7.2.3.2).
func (n *Network) locate(ctx context.Context, realm string) ([]kdcAddress, error) {
	var out []kdcAddress
	var errs []error
	if n.Conf != nil {
		for _, text := range n.Conf.KDCs[realm] {
			transport, host, port, err := splitKDC(text)
			if err == nil {
				out, err = n.resolve(ctx, out, transport, host, port)
			}
			errs = append(errs, err)
		}
	}
	if len(out) == 0 && (n.Conf == nil || len(n.Conf.KDCs[realm]) == 0 && n.Conf.LookupKDC) {
		for _, transport := range []string{"udp", "tcp"} {
			_, records, err := n.resolver().LookupSRV(ctx, "kerberos", transport, strings.TrimSuffix(realm, ".")+".")
			errs = append(errs, err)
			for _, r := range records {
				if r.Target == "." { // the service is not there (RFC 2782)
					continue
				}
				out, err = n.resolve(ctx, out, transport, strings.TrimSuffix(r.Target, "."), r.Port)
				errs = append(errs, err)
			}
		}
		out = joinTransports(out)
	}
	if len(out) == 0 {
		if err := errors.Join(errs...); err != nil {
			return nil, fmt.Errorf("no KDC of %s is found: %w", realm, err)
		}
		return nil, fmt.Errorf("no KDC of %s is found: krb5.conf lists none, and DNS has none or is not asked", realm)
	}
	return out, nil
}

// joinTransports makes one entry of an address that serves UDP and TCP.
func joinTransports(list []kdcAddress) []kdcAddress {
	var out []kdcAddress
	for _, a := range list {
		i := slices.IndexFunc(out, func(b kdcAddress) bool { return b.addr == a.addr })
		switch {
		case i < 0:
			out = append(out, a)
		case out[i].transport != a.transport:
			out[i].transport = ""
		}
	}
	return out
}

func (n *Network) resolve(ctx context.Context, out []kdcAddress, transport, host string, port uint16) ([]kdcAddress, error) {
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = n.resolver().LookupNetIP(ctx, "ip", host); err != nil {
		return out, err
	}
	for _, a := range addrs {
		if len(out) < maxAddresses {
			out = append(out, kdcAddress{netip.AddrPortFrom(a.Unmap(), port), transport})
		}
	}
	return out, nil
}

// splitKDC reads the value of a kdc relation.
func splitKDC(text string) (transport, host string, port uint16, err error) {
	for _, t := range []string{"udp", "tcp"} {
		if rest, ok := strings.CutPrefix(text, t+"/"); ok {
			transport, text = t, rest
		}
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return transport, a.String(), kdcPort, nil
	}
	h, p, err := net.SplitHostPort(text)
	if err != nil {
		if text == "" || strings.ContainsAny(text, ":/[] ") {
			return "", "", 0, fmt.Errorf("kdc = %q is malformed", text)
		}
		return transport, text, kdcPort, nil
	}
	v, err := strconv.ParseUint(p, 10, 16)
	if err != nil || v == 0 || h == "" {
		return "", "", 0, fmt.Errorf("kdc = %q has no port that can be", text)
	}
	return transport, h, uint16(v), nil
}
