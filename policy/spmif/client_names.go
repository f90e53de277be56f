package spmif

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// FQDNList lists the names that are watched.
func (c *Client) FQDNList() ([]string, error) { return c.do("FQDN LIST") }

// FQDNQuery lists the names of an address; none when it has no name.
func (c *Client) FQDNQuery(addr netip.Addr) ([]string, error) {
	names, err := c.do("FQDN QUERY", addr.String())
	if refused := (*ReplyError)(nil); errors.As(err, &refused) && refused.Status == NotCached {
		return nil, nil
	}
	return names, err
}

// FQDNAdd has a name watched.
func (c *Client) FQDNAdd(name string) error { return c.change("FQDN ADD", name) }

// FQDNDelete ends that.
func (c *Client) FQDNDelete(name string) error { return c.change("FQDN DELETE", name) }

// NSList lists the upstream servers, the current one first.
func (c *Client) NSList() ([]string, error) { return c.do("NS LIST") }

// NSAdd adds an upstream server behind the others.
func (c *Client) NSAdd(addr netip.Addr) error { return c.change("NS ADD", addr.String()) }

// NSDelete removes one, though not the last.
func (c *Client) NSDelete(addr netip.Addr) error { return c.change("NS DELETE", addr.String()) }

// NSChange makes one the current server.
func (c *Client) NSChange(addr netip.Addr) error { return c.change("NS CHANGE", addr.String()) }

// PolicyAdd adds a pair of policies and returns what the server says of it.
func (c *Client) PolicyAdd(r PolicyRequest) (string, error) {
	args := []string{r.Selector, strconv.FormatInt(int64(r.Lifetime/time.Second), 10)}
	lines, err := c.do("POLICY ADD", append(args, r.words()...)...)
	return strings.Join(lines, " "), err
}

// PolicyDelete removes policies that PolicyAdd has made: those with these
// addresses, or without addresses all of the selector.
func (c *Client) PolicyDelete(r PolicyRequest) error {
	if !r.Src.IsValid() {
		return c.change("POLICY DELETE", r.Selector)
	}
	return c.change("POLICY DELETE", append([]string{r.Selector}, r.words()...)...)
}

// words are mode src dst [sa_src sa_dst].
func (r PolicyRequest) words() []string {
	mode := "transport"
	if r.Tunnel {
		mode = "tunnel"
	}
	words := []string{mode, r.Src.String(), r.Dst.String()}
	if r.SASrc.IsValid() {
		words = append(words, r.SASrc.String(), r.SADst.String())
	}
	return words
}

// Migrate moves the policies of a tunnel to other ends.
func (c *Client) Migrate(r MigrateRequest) error {
	return c.change("MIGRATE", r.Selector, r.OldSrc.String(), r.OldDst.String(), r.Src.String(), r.Dst.String())
}

// SAShow describes IKE SAs as JSON: those with this remote, child, or SPI.
func (c *Client) SAShow(name string) (json.RawMessage, error) {
	lines, err := c.do("SA SHOW", name)
	if err != nil {
		return nil, err
	}
	text := []byte(strings.Join(lines, ""))
	if !json.Valid(text) {
		return nil, errors.New("spmif: the reply to SA SHOW is not JSON")
	}
	return text, nil
}

// SADelete deletes the IKE SA or the child with an SPI of the agent's host.
func (c *Client) SADelete(spi uint64) error { return c.change("SA DELETE", fmt.Sprintf("%x", spi)) }

// SARekey has the IKE SA or the child with this SPI of the agent's host take new keys.
func (c *Client) SARekey(spi uint64) error { return c.change("SA REKEY", fmt.Sprintf("%x", spi)) }

// SADown deletes the children of a selector, and has them stay down until
// somebody or traffic asks for them. It returns how many there were.
func (c *Client) SADown(selector string) (children int, err error) {
	lines, err := c.do("SA DOWN", selector)
	if err != nil {
		return 0, err
	}
	if len(lines) != 1 {
		return 0, errors.New("spmif: the reply to SA DOWN is not one line")
	}
	if n, err := fmt.Sscanf(lines[0], "SA Down child %d", &children); n != 1 {
		return 0, fmt.Errorf("spmif: reply to SA DOWN %q: %w", lines[0], err)
	}
	return children, nil
}

// SAInitiate asks for the child of a selector.
func (c *Client) SAInitiate(selector string) error { return c.change("SA INITIATE", selector) }

// change sends a command whose reply says nothing but that it was done.
func (c *Client) change(command string, args ...string) error {
	_, err := c.do(command, args...)
	return err
}

// Watch hands over events until f returns false, or the stream ends. After it,
// the stream is of no more use.
func (c *Client) Watch(f func(Event) bool) error {
	if !c.greeted {
		if _, err := c.greeting(); err != nil {
			return err
		}
	}
	if _, err := c.w.Write([]byte("WATCH\r\n")); err != nil {
		return fmt.Errorf("spmif: %w", err)
	}
	for first := true; ; first = false {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		status, more, text, err := parseLine(line)
		switch {
		case err != nil:
			return err
		case status != OK:
			return &ReplyError{Command: "WATCH", Status: status, Text: text}
		case !more:
			return nil
		case first:
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return fmt.Errorf("spmif: %q is no event: %w", text, err)
		}
		if !f(e) {
			return nil
		}
	}
}
