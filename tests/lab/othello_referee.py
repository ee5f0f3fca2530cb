"""A plain referee for Othello on an 8 x 8 list of lists, written apart from the engine."""

STEPS = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]


def start() -> list[list[str]]:
    """The opening position: X (black) moves first."""
    board = [["." for _ in range(8)] for _ in range(8)]
    board[3][3] = board[4][4] = "O"
    board[3][4] = board[4][3] = "X"
    return board


def captured(board: list[list[str]], row: int, column: int, player: str) -> list[tuple[int, int]]:
    """Discs that `player` turns by placing one at row, column; none if the move is illegal."""
    if board[row][column] != ".":
        return []
    turned = []
    for dr, dc in STEPS:
        line, r, c = [], row + dr, column + dc
        while 0 <= r < 8 and 0 <= c < 8 and board[r][c] not in (".", player):
            line.append((r, c))
            r, c = r + dr, c + dc
        if line and 0 <= r < 8 and 0 <= c < 8 and board[r][c] == player:
            turned += line
    return turned


def legal(board: list[list[str]], player: str) -> set[int]:
    """Squares (8 * row + column) where `player` may move."""
    return {8 * r + c for r in range(8) for c in range(8) if captured(board, r, c, player)}


def place(board: list[list[str]], square: int, player: str) -> None:
    """Make the move on the board itself."""
    row, column = divmod(square, 8)
    for r, c in captured(board, row, column, player):
        board[r][c] = player
    board[row][column] = player
