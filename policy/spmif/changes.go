package spmif

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// errSyntax says that arguments cannot be read.
var errSyntax = errors.New("syntax error")

// policyAdd carries out POLICY ADD slid lifetime mode src dst [sa_src sa_dst].
func (s *Session) policyAdd(out []byte, args [][]byte) []byte {
	seconds, err := strconv.ParseUint(string(args[1]), 10, 31)
	if err != nil {
		return syntaxError(out)
	}
	r, err := policyRequest(args[0], args[2:])
	if err != nil {
		return syntaxError(out)
	}
	r.Lifetime = time.Duration(seconds) * time.Second
	selector, reverse, err := s.handler.AddPolicy(r)
	return appendDone(out, fmt.Sprintf("Policy Added %s and %s", selector, reverse), err)
}

// policyDelete carries out POLICY DELETE slid [mode src dst [sa_src sa_dst]].
// Clients of the original send the selector alone as well, which its server
// takes for wrong; here that means all of the selector's.
func (s *Session) policyDelete(out []byte, args [][]byte) []byte {
	r := PolicyRequest{Selector: string(args[0])}
	if len(args) > 1 {
		var err error
		if r, err = policyRequest(args[0], args[1:]); err != nil {
			return syntaxError(out)
		}
	}
	return appendDone(out, "Policy Deleted", s.handler.DeletePolicy(r))
}

// policyRequest reads mode src dst [sa_src sa_dst].
func policyRequest(selector []byte, args [][]byte) (r PolicyRequest, err error) {
	r.Selector = string(selector)
	switch {
	case is(args[0], "TRANSPORT"):
		r.Tunnel = false
	case is(args[0], "TUNNEL"):
		r.Tunnel = true
	default:
		return r, errSyntax
	}
	if r.Src, err = hostPrefix(string(args[1])); err != nil {
		return r, err
	}
	if r.Dst, err = hostPrefix(string(args[2])); err != nil || len(args) == 3 {
		return r, err
	}
	if r.SASrc, err = netip.ParseAddr(string(args[3])); err != nil {
		return r, err
	}
	r.SADst, err = netip.ParseAddr(string(args[4]))
	return r, err
}

// hostPrefix reads ADDRESS[/LENGTH]. As the original has it, a length that is
// absent or 0 means the one host, and the unspecified address everything.
func hostPrefix(text string) (netip.Prefix, error) {
	word, digits, _ := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(word)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, errSyntax
	}
	bits := 0
	if digits != "" {
		n, err := strconv.ParseUint(digits, 10, 8)
		if err != nil || int(n) > addr.BitLen() {
			return netip.Prefix{}, errSyntax
		}
		bits = int(n)
	}
	if bits == 0 && !addr.IsUnspecified() {
		bits = addr.BitLen()
	}
	return addr.Prefix(bits)
}

// migrate carries out MIGRATE slid src0 dst0 src dst. The original wants six
// arguments where its clients send five, and so has never carried one out.
func (s *Session) migrate(out []byte, args [][]byte) []byte {
	if len(args) != 5 {
		return syntaxError(out)
	}
	r := MigrateRequest{Selector: string(args[0])}
	for i, to := range []*netip.Addr{&r.OldSrc, &r.OldDst, &r.Src, &r.Dst} {
		p, err := hostPrefix(string(args[i+1]))
		if err != nil {
			return syntaxError(out)
		}
		*to = p.Addr()
	}
	return appendDone(out, "Migrated", s.handler.Migrate(r))
}

// sa carries out the SA commands, extensions.
func (s *Session) sa(out []byte, args [][]byte) []byte {
	switch {
	case len(args) == 1 && is(args[0], "LIST"):
		return s.saList(out)
	case len(args) == 1 && is(args[0], "FLUSH"):
		return s.saFlush(out, "")
	case len(args) != 2:
		return syntaxError(out)
	}
	name := string(args[1])
	switch {
	case is(args[0], "FLUSH"):
		return s.saFlush(out, name)
	case is(args[0], "SHOW"):
		raw, err := s.handler.ShowSA(name)
		if err != nil {
			return appendError(out, err)
		}
		return appendJSON(out, raw)
	case is(args[0], "INITIATE"):
		return s.saDone(out, "SA Initiated", s.handler.Initiate(name))
	case is(args[0], "DOWN"):
		children, err := s.handler.TakeDown(name)
		return s.saDone(out, fmt.Sprintf("SA Down child %d", children), err)
	case is(args[0], "DELETE"), is(args[0], "REKEY"):
		spi, err := strconv.ParseUint(name, 16, 64)
		switch {
		case err != nil || spi == 0:
			return syntaxError(out)
		case is(args[0], "DELETE"):
			return s.saDone(out, "SA Deleted", s.handler.DeleteSA(spi))
		}
		return s.saDone(out, "SA Rekeyed", s.handler.RekeySA(spi))
	}
	return syntaxError(out)
}

func (s *Session) saDone(out []byte, done string, err error) []byte {
	if err != nil {
		return appendError(out, err)
	}
	return appendReply(out, OK, done)
}

func (s *Session) saList(out []byte) []byte {
	entries, err := s.handler.SAs()
	if err != nil {
		return appendError(out, err)
	}
	if len(entries) == 0 {
		return appendReply(out, OKEmpty, "NO SA Exists")
	}
	lines := make([]string, len(entries))
	for i, e := range entries {
		lines[i] = e.line()
	}
	return appendReply(out, OK, lines...)
}

func (s *Session) saFlush(out []byte, remote string) []byte {
	ike, children, err := s.handler.FlushSA(remote)
	if err != nil {
		return appendError(out, err)
	}
	return appendReply(out, OK, fmt.Sprintf("SA Flushed ike %d child %d", ike, children))
}
