package spmif

import (
	"errors"
	"net/netip"
	"strings"
)

// fqdn carries out FQDN LIST, QUERY, ADD and DELETE.
//
// The original marks the reply to ADD and DELETE as one that goes on, and sends
// nothing after it, so that its clients wait for ever; here it ends.
func (s *Session) fqdn(out []byte, args [][]byte) []byte {
	switch {
	case len(args) == 1 && begins(args[0], "LIST"):
		names, err := s.handler.FQDNs()
		if errors.Is(err, ErrNoResolver) || err == nil && len(names) == 0 {
			return appendReply(out, OKEmpty, "No FQDN Registered")
		}
		return appendNames(out, names, err)
	case len(args) == 2 && begins(args[0], "QUERY"):
		return s.fqdnQuery(out, string(args[1]))
	case len(args) == 2 && begins(args[0], "ADD"):
		return appendDone(out, "FQDN Registered", s.handler.AddFQDN(string(args[1])))
	case len(args) == 2 && begins(args[0], "DELETE"):
		return appendDone(out, "FQDN Deregistered", s.handler.DeleteFQDN(string(args[1])))
	}
	return syntaxError(out)
}

// fqdnQuery lists the names of an address.
func (s *Session) fqdnQuery(out []byte, text string) []byte {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return appendReply(out, Failed, "Operation Failed")
	}
	names, err := s.handler.FQDNsOf(addr)
	if errors.Is(err, ErrNoResolver) || err == nil && len(names) == 0 {
		return appendReply(out, NotCached, "Not Cached")
	}
	return appendNames(out, names, err)
}

func appendNames(out []byte, names []string, err error) []byte {
	if err != nil {
		return appendFailure(out, err)
	}
	return appendReply(out, OK, names...)
}

// appendDone appends the reply to a change. The original has one refusal for
// all that can go wrong; the reason follows it here.
func appendDone(out []byte, done string, err error) []byte {
	if err != nil {
		return appendFailure(out, err)
	}
	return appendReply(out, OK, done)
}

// appendFailure is appendError with the original's status for every reason.
func appendFailure(out []byte, err error) []byte {
	return appendReply(out, Failed, "Operation Failed, "+err.Error())
}

// ns carries out NS LIST, ADD, DELETE and CHANGE.
func (s *Session) ns(out []byte, args [][]byte) []byte {
	if len(args) == 1 && begins(args[0], "LIST") {
		servers, err := s.handler.Servers()
		if errors.Is(err, ErrNoResolver) || err == nil && len(servers) == 0 {
			return appendReply(out, OKEmpty, "No Name Server(resolver off?)")
		}
		words := make([]string, len(servers))
		for i, a := range servers {
			words[i] = a.String()
		}
		return appendNames(out, words, err)
	}
	if len(args) != 2 {
		return syntaxError(out)
	}
	var do func(netip.Addr) error
	var done string
	switch {
	case begins(args[0], "ADD"):
		do, done = s.handler.AddServer, "Name Server Added"
	case begins(args[0], "DELETE"):
		do, done = s.handler.DeleteServer, "Name Server Deleted"
	case begins(args[0], "CHANGE"):
		do, done = s.handler.ChangeServer, "Name Server Changed"
	default:
		return syntaxError(out)
	}
	addr, err := netip.ParseAddr(string(args[1]))
	if err == nil {
		err = do(addr)
	} else {
		err = errors.New("not an address: " + strings.TrimPrefix(string(args[1]), "-"))
	}
	switch {
	case errors.Is(err, ErrNoResolver):
		return appendReply(out, Failed, "Operation Failed(resolver off?)")
	case errors.Is(err, ErrExists):
		return appendReply(out, NoSuchObject, "Name Server Exists")
	case errors.Is(err, ErrNotFound):
		return appendReply(out, NoSuchObject, "Name Server Not Exists")
	}
	return appendDone(out, done, err)
}
