package config

import "slices"

// nearest returns the word closest to text when it is close enough for a typing
// error, else "".
func nearest(text string, words []string) string {
	if len(text) > 64 {
		return ""
	}
	best, bound := "", 1+len(text)/4
	for _, w := range words {
		if d := editDistance(text, w); d <= bound {
			best, bound = w, d-1
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and exchanges of
// neighbours that make b of a.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, now := rows[0], rows[1], rows[2]
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = last, now, before
	}
	return rows[1][len(b)]
}

// nearestSorted is nearest over words in no order; the answer is always the same.
func nearestSorted(text string, words []string) string {
	slices.Sort(words)
	return nearest(text, words)
}
