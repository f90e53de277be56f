package config

// The concrete syntax tree. It keeps everything that a formatter needs to write
// a file again: words as they were written, comments and positions. It knows no
// directive; what a statement means is decided by the section it stands in.

// Tree is one file as it was written.
type Tree struct {
	Name       string
	Statements []*Statement
	Comments   []Comment // behind the last statement
}

// Statement is a run of items that ends with a semicolon. The block of a
// section is its statement's last item.
type Statement struct {
	Items    []Item
	Comments []Comment // in front of the statement, or between its items
	Trailing *Comment  // behind the semicolon, on its line
	End      Pos       // behind the semicolon, or behind the last item where it is missing
}

// Pos is the position of the first item.
func (s *Statement) Pos() Pos { return s.Items[0].Pos }

// Name is the text of the first item: the directive or section.
func (s *Statement) Name() string { return s.Items[0].Text }

// Block returns the block that ends the statement, or nil.
func (s *Statement) Block() *Block { return s.Items[len(s.Items)-1].Block }

// Args returns the items between the name and the block.
func (s *Statement) Args() []Item {
	items := s.Items[1:]
	if n := len(items); n > 0 && items[n-1].Block != nil {
		items = items[:n-1]
	}
	return items
}

// ItemKind is the kind of an item.
type ItemKind uint8

// The kinds of items.
const (
	ItemWord   ItemKind = iota + 1
	ItemString          // a quoted word
	ItemComma
	ItemDash
	ItemBlock
)

// Item is one piece of a statement.
type Item struct {
	Kind  ItemKind
	Pos   Pos
	Text  string // of a word or string, without quotes and before substitution
	Block *Block // of ItemBlock
}

// Source returns the item as it is written in the file; a block is its brace.
func (i Item) Source() string {
	switch i.Kind {
	case ItemString:
		return `"` + i.Text + `"`
	case ItemBlock:
		return "{"
	default:
		return i.Text
	}
}

// isText reports whether the item is a word, quoted or not.
func (i Item) isText() bool { return i.Kind == ItemWord || i.Kind == ItemString }

// end is the position behind the item, where a missing semicolon belongs.
func (i Item) end() Pos {
	if i.Kind == ItemBlock {
		return i.Block.End
	}
	p := i.Pos
	p.Col += len(i.Source())
	return p
}

// Block is what stands between braces.
type Block struct {
	Pos        Pos // of the opening brace
	End        Pos // behind the closing brace
	Statements []*Statement
	Comments   []Comment // behind the last statement
}

// Comment is one comment, without its # and the line's end.
type Comment struct {
	Pos  Pos
	Text string
}
