package convert

import (
	"encoding/hex"
	"fmt"
	"strings"

	"racoon2/config"
)

// secret is a pre-shared key of the input with those whom it is for.
type secret struct {
	ids  []string // empty: everybody
	key  []byte
	node *node
	used bool
}

// psk reads psk.txt: lines of an identifier and a key, which may hold blanks or be 0x and hexadecimal digits.
func (c *converter) psk() (*node, []*secret, error) {
	if c.o.Secrets == nil {
		return nil, nil, nil
	}
	f := *c.o.Secrets
	if err := c.take(f); err != nil {
		return nil, nil, err
	}
	root := &node{pos: config.Pos{File: f.Name, Line: 1, Col: 1}}
	var secrets []*secret
	number := 0
	for line := range strings.Lines(f.Text) {
		number++
		text := strings.Trim(line, " \t\r\n")
		if text == "" || text[0] == '#' {
			continue
		}
		id, key := text, ""
		if i := strings.IndexAny(text, " \t"); i > 0 {
			id, key = text[:i], strings.TrimLeft(text[i:], " \t")
		}
		n := &node{pos: config.Pos{File: f.Name, Line: number, Col: 1}, words: []word{{text: id}}, show: 1}
		root.block = append(root.block, n)
		octets, err := keyOctets(key)
		if err != nil {
			c.leaveOut(n, err.Error(), "write the key into a file of its own")
			continue
		}
		if len(secrets) == maxMany {
			return nil, nil, errTooLarge
		}
		secrets = append(secrets, &secret{ids: []string{id}, key: octets, node: n})
	}
	c.trees = append(c.trees, root)
	return root, secrets, nil
}

// keyOctets reads a key: text, or hexadecimal behind 0x.
func keyOctets(s string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		octets, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("the key begins with 0x and is not hexadecimal")
		}
		s = string(octets)
	}
	if s == "" {
		return nil, fmt.Errorf("there is no key")
	}
	if len(s) > maxKey {
		return nil, fmt.Errorf("the key is longer than %d octets", maxKey)
	}
	return []byte(s), nil
}

// maxKey bounds a key, in octets, as the agent does.
const maxKey = 4096

// putKey writes pre_shared_key. The file's name is that of the remote; without a
// secret the user has to fill the file.
func (c *converter) putKey(s *section, remote string, found *secret, from ...config.Pos) string {
	name := ""
	if found != nil {
		found.used, found.node.claimed = true, true
		name = c.keyNames[string(found.key)]
		from = append(from, found.node.pos)
	}
	if name == "" {
		name = c.freeName("key", remote)
		if found != nil {
			c.keyNames[string(found.key)] = name
			c.keys = append(c.keys, Key{Name: name, Secret: found.key})
		}
	}
	path := c.o.KeyDir + "/" + name
	note := ""
	if found == nil {
		note = "the key goes into this file"
	}
	s.put(`pre_shared_key "`+path+`"`, note, from...)
	return path
}
