package serve

import (
	"errors"
	"fmt"
)

func (u *unpickler) container(op byte) error {
	var items []any
	var err error
	switch op {
	case opEmptyList:
		u.push(&pyList{})
	case opEmptyDict:
		u.push(map[string]any{})
	case opEmptyTuple:
		u.push(pyTuple{})
	case opTuple1, opTuple2, opTuple3:
		items, err = u.popN(int(op-opTuple1) + 1)
		u.push(pyTuple(items))
	case opTuple:
		items, err = u.popMark()
		u.push(pyTuple(items))
	case opList:
		items, err = u.popMark()
		u.push(&pyList{items})
	case opDict:
		if items, err = u.popMark(); err == nil {
			dict := map[string]any{}
			u.push(dict)
			err = setItems(dict, items)
		}
	case opAppend, opAppends:
		items, err = u.several(op == opAppends, 1)
		if err != nil {
			return err
		}
		into, err := u.top()
		l, ok := into.(*pyList)
		if err == nil && !ok {
			err = fmt.Errorf("it appends to %s", describe(into))
		}
		if err == nil {
			l.items = append(l.items, items...)
		}
		return err
	case opSetItem, opSetItems:
		items, err = u.several(op == opSetItems, 2)
		if err != nil {
			return err
		}
		into, err := u.top()
		dict, ok := into.(map[string]any)
		if err == nil && !ok {
			err = fmt.Errorf("it sets items of %s", describe(into))
		}
		if err == nil {
			err = setItems(dict, items)
		}
		return err
	default:
		return fmt.Errorf("instruction %#x is not among those of plain data; send lists, dicts, text, bytes, numbers and numpy arrays only", op)
	}
	return err
}

func (u *unpickler) several(marked bool, n int) ([]any, error) {
	if marked {
		return u.popMark()
	}
	return u.popN(n)
}

func setItems(dict map[string]any, items []any) error {
	if len(items)%2 != 0 {
		return errors.New("a dict has a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		key, ok := items[i].(string)
		if !ok {
			return fmt.Errorf("a dict has %s as a key; want text", describe(items[i]))
		}
		dict[key] = items[i+1]
	}
	return nil
}

// describe names the type of a value, and never its content.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case bool:
		return "a bool"
	case int64, float64:
		return "a number"
	case string:
		return "a text"
	case []byte:
		return "bytes"
	case *pyList:
		return fmt.Sprintf("a list of %d", len(v.items))
	case pyTuple:
		return fmt.Sprintf("a tuple of %d", len(v))
	case map[string]any:
		return "a dict"
	case *ndarray:
		return fmt.Sprintf("an array of shape %v and type %s", v.shape, v.kind)
	}
	return "a name"
}
