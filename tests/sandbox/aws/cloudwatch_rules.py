"""The expressions of composite alarms (API_PutCompositeAlarm, AlarmRule)."""

import re

TOKENS = re.compile(r"\s*(?:(?P<sign>[()])|\"(?P<quoted>[^\"]*)\"|(?P<word>[^\s()\"]+))")
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")
# "The AlarmRule can specify as many as 100 "children" alarms."
MOST_CHILDREN = 100


class Rule:
    """A parsed rule. Raises ValueError for one that CloudWatch would not understand."""

    def __init__(self, text):
        #: The names of the alarms it looks at, each once, in order.
        self.children = []
        self._tokens = [found for found in _tokens_of(text)]
        self._expression = self._either()
        if self._tokens:
            raise ValueError(f"unexpected {self._tokens[0]!r}")
        if len(self.children) > MOST_CHILDREN:
            raise ValueError(f"more than {MOST_CHILDREN} alarms")

    def is_true(self, state_of):
        """Evaluate the rule; `state_of` gives the state of a child by its name."""
        return _value(self._expression, state_of)

    def _either(self):
        parts = [self._both()]
        while self._takes("OR"):
            parts.append(self._both())
        return ("OR", parts)

    def _both(self):
        parts = [self._negated()]
        while self._takes("AND"):
            parts.append(self._negated())
        return ("AND", parts)

    def _negated(self):
        if self._takes("NOT"):
            return ("NOT", [self._negated()])
        return self._term()

    def _term(self):
        word = self._next()
        if word == "(":
            inner = self._either()
            self._expect(")")
            return inner
        if word in ("TRUE", "FALSE"):
            return ("IS", word == "TRUE")
        if word not in STATES:
            raise ValueError(f"unexpected {word!r}")
        self._expect("(")
        name = name_of(self._next())
        self._expect(")")
        if name not in self.children:
            self.children.append(name)
        return ("STATE", (name, word))

    def _takes(self, word):
        if self._tokens and self._tokens[0] == word:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, word):
        if not self._takes(word):
            raise ValueError(f"{word!r} is missing")

    def _next(self):
        if not self._tokens:
            raise ValueError("it ends too early")
        return self._tokens.pop(0)


def name_of(name_or_arn):
    """The name of an alarm that is named or given by its ARN."""
    return name_or_arn.split(":alarm:", 1)[-1] if name_or_arn.startswith("arn:") else name_or_arn


def _tokens_of(text):
    position = 0
    text = text.strip()
    while position < len(text):
        found = TOKENS.match(text, position)
        if found is None:
            raise ValueError(f"cannot be read from {text[position:]!r} on")
        position = found.end()
        yield found["sign"] or found["quoted"] or found["word"]


def _value(expression, state_of):
    kind, inner = expression
    if kind == "IS":
        return inner
    if kind == "STATE":
        return state_of(inner[0]) == inner[1]
    if kind == "NOT":
        return not _value(inner[0], state_of)
    return (all if kind == "AND" else any)(_value(part, state_of) for part in inner)
